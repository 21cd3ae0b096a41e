"""The way forward: no step before its values, no join twice or never."""

from collections.abc import Iterator

from tests.faults.records import Line, RunRecord


def values_were_there(record: RunRecord) -> Iterator[str]:
    shape, steps = record.plan.shape, record.forward()
    for line in record.lines:
        if line.event != "started" or line.node not in steps:
            continue
        for call in shape.calls:
            if not shape.precedes(call.node, line.node):
                continue
            before = steps.get(call.node)
            if before is None or before.finished_at is None or before.finished_at > line.at:
                yield f"{line.node} started at {line.at}, before {call.node} had ended"
        yield from _wrong_values(record, line)


def _wrong_values(record: RunRecord, line: Line) -> Iterator[str]:
    steps = record.forward()
    uses = record.plan.shape.call(line.node).uses
    expected = [
        steps[node].output if steps[node].status == "succeeded" else None
        for node in uses
        if node in steps
    ]
    if line.value != expected:
        yield f"attempt {line.attempt} of {line.node} was given {line.value}, not {expected}"


def joins_ran_once(record: RunRecord) -> Iterator[str]:
    """Every token that entered a group has left it, unless the run was stopped on its way."""
    if not record.row.is_ended:
        return
    for join in record.joins:
        if join.live:
            yield f"join {join.name} still counts {join.live} branches"
