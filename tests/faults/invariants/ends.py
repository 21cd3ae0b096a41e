"""How runs end: which may exist, what the plan lets them come to, and that nothing stays open."""

from collections.abc import Iterator
from typing import Any

from tests.faults.behaviours import Behaviour
from tests.faults.numbers import ROLLED_BACK
from tests.faults.records import RunRecord
from tests.faults.rows import AttemptRow
from tests.faults.shapes import CHILD, MILD
from tests.faults.values import holds, result_of

FINAL = frozenset({"succeeded", "failed", "skipped", "stopped", "resolved"})
NOTHING = Behaviour()
UNLUCKY = frozenset({"OperationalError", "InterfaceError"})  # PostgreSQL went away under it


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
        if step.status != "failed" or step.kind != "step" or node in plan.doomed:
            continue
        if not _was_unlucky(record, node):
            yield f"{node} failed for good though it was to succeed: {step.error}"
    fatal = [node for node in failed if plan.shape.call(node).kind not in MILD]
    if row.status == "succeeded" and fatal:
        yield f"it succeeded, though {', '.join(fatal)} failed"
    elif row.status == "failed" and not fatal:
        yield f"it failed, and none of its steps did: {row.error}"
    elif row.status == "cancelled" and plan.cancel_after is None and row.parent_id is None:
        yield "nobody cancelled it"
    for node, tries in record.tries.items():
        yield from _unplanned_failures(record, node, tries)


def _unplanned_failures(record: RunRecord, node: str, tries: list[AttemptRow]) -> Iterator[str]:
    doing = record.plan.nodes.get(node, NOTHING)  # the engine's own nodes have no plan
    for one in tries:
        kind = (one.error or {}).get("type")
        if one.outcome == "failed" and kind == "Planned" and one.number > doing.failures:
            yield f"attempt {one.number} of {node} failed like one of the first {doing.failures}"
        if one.outcome == "succeeded" and one.number <= doing.failures:
            yield f"attempt {one.number} of {node} succeeded, though it was to fail"


def _was_unlucky(record: RunRecord, node: str) -> bool:
    """Whether some attempt was ended by what the faults did, and not by the plan."""
    return any(
        one.outcome == "lost" or (one.error or {}).get("type") in UNLUCKY
        for one in record.tries[node]
    )


def gave_the_right_output(record: RunRecord) -> Iterator[str]:
    """A succeeded run's output, worked out again from the seed and from what skipped or failed."""
    if record.row.status != "succeeded":
        return
    rows, number = record.forward(), record.row.number
    missing = {node for node, step in rows.items() if step.status != "succeeded"}
    values: dict[str, Any] = {}
    left_out = record.left_out()
    for call in record.plan.shape.calls:
        if call.node in left_out:
            values[call.node] = None
        elif call.kind == CHILD or call.node in record.kept:
            # Of a child run `kin` says more. What was kept may have been given None by a step that
            # failed, and which a lever has run again.
            values[call.node] = rows[call.node].output if call.node in rows else None
        else:
            values[call.node] = result_of(call, number, values, missing=missing)
        runs = call.node not in left_out and all(holds(values[guard]) for guard in call.guards)
        if runs != (call.node in rows):
            yield f"{call.node} {'has not' if runs else 'has'} run, against its guards"
            return
        if runs and rows[call.node].output != values[call.node]:
            yield f"{call.node} gave {rows[call.node].output} instead of {values[call.node]}"
    expected: Any = [values[node] for node in record.plan.shape.results]
    if record.plan.shape.is_bare:
        (expected,) = expected
    if record.row.output != expected:
        yield f"its output is {record.row.output} instead of {expected}"


def told_of_success_only(record: RunRecord) -> Iterator[str]:
    """Events published by steps are visible if the run succeeded, each once, and else never."""
    owed = {
        node
        for node, step in record.forward().items()
        if step.status == "succeeded"
        and not step.inherited
        and record.plan.nodes.get(node, NOTHING).publishes
    }
    if record.was_cancelled and record.is_retried:  # it may have succeeded twice
        return
    told, all_of_them = dict(record.told), dict.fromkeys(owed, 1)
    allowed = {
        "succeeded": [all_of_them],
        "cancelled": [{}, all_of_them],  # a run that had succeeded takes none back
    }.get(record.row.status, [{}])
    if told not in allowed:
        yield f"it is {record.row.status}, and visible are the events of {told}, not {allowed}"
