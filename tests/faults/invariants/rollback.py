"""The way back: what is undone, how often, in which order and with which data."""

from collections.abc import Iterator

from tests.faults.behaviours import COMPENSATE
from tests.faults.records import RunRecord
from tests.faults.values import undo_of


def _owed(record: RunRecord) -> set[str]:
    """The nodes whose compensation a rollback owes: completed, or stopped with undo data left."""
    shape = record.plan.shape
    done = [
        step
        for node, step in record.forward().items()
        if not step.inherited
        and (step.kind == "child" or (step.kind == "step" and shape.call(node).is_compensated))
        and (
            step.status == "succeeded"
            or (step.status in ("failed", "stopped") and step.undo is not None)
        )
    ]
    # An `each` is undone with any of its items.
    return {step.node for step in done} | {step.each for step in done if step.each is not None}


def undid_each_once(record: RunRecord) -> Iterator[str]:
    row, undone = record.row, record.backward()
    if not row.is_ended:
        return
    if row.status == "succeeded":
        if undone:
            yield f"it succeeded, and {', '.join(undone)} was compensated"
        return
    if record.is_pivoted:
        if undone or row.rollback != "incomplete":
            yield f"it is pivoted, its rollback {row.rollback}, compensated are {sorted(undone)}"
        return
    owed = _owed(record)
    if set(undone) != owed:
        yield f"owed were the compensations of {sorted(owed)}, there are {sorted(undone)}"
    failed = {node for node, step in undone.items() if step.status == "failed"}
    expected = "incomplete" if failed else "complete" if undone else "not_needed"
    if row.rollback != expected:
        yield f"its rollback is {row.rollback} instead of {expected}"
    for node, step in undone.items():
        well = [one for one in record.tries[step.node] if one.outcome == "succeeded"]
        if step.kind == "step" and step.status == "succeeded" and len(well) != 1:
            yield f"{node} was compensated {len(well)} times"
        if step.status not in ("succeeded", "failed", "resolved"):
            yield f"the compensation of {node} is {step.status}"


def went_backwards(record: RunRecord) -> Iterator[str]:
    """In the mirror image: a compensation starts when those of all later steps have ended."""
    undone = record.backward()
    for earlier in undone:
        starts = [line.at for line in record.lines_of(earlier + COMPENSATE, "started")]
        for later, step in undone.items():
            if not starts or not record.plan.shape.precedes(earlier, later):
                continue
            if step.spent:  # it had failed, and was tried again when the rollback was resumed
                continue
            if step.finished_at is None or step.finished_at > min(starts):
                yield f"{earlier} was compensated before {later} had been"


def waited_for_the_live(record: RunRecord) -> Iterator[str]:
    """Nothing is undone while a step of the run is live; a lost attempt's zombie is not live."""
    starts = [
        line.at
        for node in record.backward()
        for line in record.lines_of(node + COMPENSATE, "started")
    ]
    if not starts:
        return
    first = min(starts)
    for node, step in record.steps.items():
        if step.phase != "forward":
            continue
        if step.finished_at is None or step.finished_at > first:
            yield f"compensation began at {first}, while {node} was live"
        for line in record.lines_of(node, "started"):
            if line.at > first and line.attempt not in record.lost(node):
                yield f"compensation began at {first}, and {node} started after it"


def was_given_the_right_data(record: RunRecord) -> Iterator[str]:
    """The last undo data saved, else the output: by the journal, not by the engine's own row."""
    steps = record.forward()
    for node in record.backward():
        if node not in record.plan.nodes or node not in steps:
            continue
        allowed = _undo_data(record, node)
        for line in record.lines_of(node + COMPENSATE, "started"):
            if line.value[0] not in allowed:
                yield f"the compensation of {node} was given {line.value[0]}, not one of {allowed}"


def _undo_data(record: RunRecord, node: str) -> set[int]:
    doing, last = record.plan.nodes[node], len(record.tries[node])
    outcome = record.tries[node][-1] if record.tries[node] else None
    given = doing.ending in ("done", "permanent-undo") and last > doing.failures
    if outcome is not None and outcome.outcome != "lost" and given:
        ended_so = outcome.outcome == "succeeded" or (
            outcome.error is not None and outcome.error.get("type") == "PermanentFailure"
        )
        if ended_so:
            return {undo_of(record.row.number, node, last)}
    allowed = {record.forward()[node].output}
    for line in record.lines_of(node, "saving", "saved"):
        # what was being saved when its process died may have been saved or not
        allowed = {line.value} if line.event == "saved" else allowed | {line.value}
    return allowed
