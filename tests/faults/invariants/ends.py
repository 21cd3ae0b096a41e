"""How runs end: which may exist, what the plan lets them come to, and that nothing stays open."""

from collections.abc import Iterator

from tests.faults.behaviours import COMPENSATE, output_of
from tests.faults.records import AttemptRow, RunRecord

ROLLED_BACK = 1_000_000  # numbers from here on belong to transactions that were rolled back
FINAL = frozenset({"succeeded", "failed", "skipped", "stopped", "resolved"})
PLANNED = frozenset({"Planned", "PermanentFailure"})


def exists_rightly(record: RunRecord) -> Iterator[str]:
    if record.row.number >= ROLLED_BACK:
        yield "the transaction that started it was rolled back"


def left_nothing_open(record: RunRecord) -> Iterator[str]:
    if not record.row.is_ended:
        return
    for node, step in record.steps.items():
        if step.status not in FINAL:
            yield f"it has ended and {node} is {step.status}"


def ended_as_planned(record: RunRecord) -> Iterator[str]:
    """A failure needs a reason: one that was planned, or a worker or database that was lost."""
    row, plan = record.row, record.plan
    failed = [node for node, step in record.forward().items() if step.status == "failed"]
    for node, step in record.steps.items():
        if step.status == "failed" and node not in plan.doomed and not _was_unlucky(record, node):
            yield f"{node} failed for good though it was to succeed: {step.error}"
    if row.status == "succeeded":
        doomed = [node for node in plan.doomed if not node.endswith(COMPENSATE)]
        if failed or doomed:
            yield f"it succeeded, though {', '.join({*failed, *doomed})} failed"
    elif row.status == "failed" and not failed:
        yield f"it failed, and none of its steps did: {row.error}"
    elif row.status == "cancelled" and plan.cancel_after is None:
        yield "nobody cancelled it"
    for node, tries in record.tries.items():
        yield from _unplanned_failures(record, node, tries)


def _unplanned_failures(record: RunRecord, node: str, tries: list[AttemptRow]) -> Iterator[str]:
    doing = record.plan.nodes[node]
    for one in tries:
        kind = (one.error or {}).get("type")
        if one.outcome == "failed" and kind == "Planned" and one.number > doing.failures:
            yield f"attempt {one.number} of {node} failed like one of the first {doing.failures}"
        if one.outcome == "succeeded" and one.number <= doing.failures:
            yield f"attempt {one.number} of {node} succeeded, though it was to fail"


def _was_unlucky(record: RunRecord, node: str) -> bool:
    """Whether some attempt was ended by what the faults did, and not by the plan."""
    return any(
        one.outcome in ("lost", "timeout") or (one.error or {}).get("type") not in PLANNED
        for one in record.tries[node]
        if one.outcome != "succeeded"
    )


def gave_the_right_output(record: RunRecord) -> Iterator[str]:
    """A succeeded run's output, worked out again from the seed and from which steps skipped."""
    if record.row.status != "succeeded":
        return
    values: dict[str, int | None] = {}
    for call in record.plan.shape.calls:
        step = record.steps.get(call.node)
        if step is None or step.status not in ("succeeded", "skipped"):
            yield f"it succeeded, and {call.node} is {step.status if step else 'not there'}"
            return
        inputs = [values[node] for node in call.uses]
        done = step.status == "succeeded"
        values[call.node] = output_of(record.row.number, call.node, inputs) if done else None
        if step.output != values[call.node]:
            yield f"{call.node} gave {step.output} instead of {values[call.node]}"
    expected = [values[node] for node in record.plan.shape.results]
    if record.row.output != expected:
        yield f"its output is {record.row.output} instead of {expected}"
