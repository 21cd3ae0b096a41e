"""The way forward: no step before its values, no join twice or never, no sleep cut short."""

from collections.abc import Iterator
from datetime import timedelta

from tests.faults.app.tracing import MEETING_SECONDS
from tests.faults.records import RunRecord
from tests.faults.rows import Line
from tests.faults.shapes import EACH, SLEEP_SECONDS
from tests.faults.values import given, holds


def values_were_there(record: RunRecord) -> Iterator[str]:
    shape, steps, values = record.plan.shape, record.forward(), record.values()
    for line in record.lines:
        if line.event != "started" or line.node not in steps or line.node in record.kept:
            continue
        for call in shape.calls:
            if not shape.precedes(call.node, line.node):
                continue
            before = steps.get(call.node)
            if before is None and not all(holds(values[guard]) for guard in call.guards):
                continue
            if before is None or before.finished_at is None or before.finished_at > line.at:
                yield f"{line.node} started at {line.at}, before {call.node} had ended"
        yield from _wrong_values(record, line)


def _wrong_values(record: RunRecord, line: Line) -> Iterator[str]:
    call = record.plan.shape.call(line.node)
    expected = given(call, line.node, record.row.number, record.values())
    if line.value != expected:
        yield f"attempt {line.attempt} of {line.node} was given {line.value}, not {expected}"


def lists_were_worked_off(record: RunRecord) -> Iterator[str]:
    """An `each` has an item for every element of its list, and no other."""
    rows = record.forward()
    for call in record.plan.shape.calls:
        if call.kind != EACH or call.node not in rows or rows[call.node].status != "succeeded":
            continue
        items = {node for node, step in rows.items() if step.each == call.node}
        wanted = {f"{call.node}[{i}]" for i, _ in enumerate(record.values()[call.items_from])}
        if items != wanted:
            yield f"{call.node} ran {sorted(items)} of {sorted(wanted)}"


def joins_ran_once(record: RunRecord) -> Iterator[str]:
    """Every token that entered a group has left it."""
    if not record.row.is_ended:
        return
    for join in record.joins:
        if join.live:
            yield f"join {join.name} still counts {join.live} branches"


def waits_had_their_time(record: RunRecord) -> Iterator[str]:
    """By the database's clock, whatever the workers' say."""
    for node, step in record.steps.items():
        if step.status != "succeeded" or step.finished_at is None:
            continue
        took = step.finished_at - step.created_at
        if step.kind == "sleep" and took < timedelta(seconds=SLEEP_SECONDS):
            yield f"{node} slept {took}"
        if (
            step.kind == "wait"
            and step.output is None
            and took < timedelta(seconds=MEETING_SECONDS)
        ):
            yield f"{node} gave up after {took}"
        if step.kind == "wait" and step.output not in (None, {"number": record.row.number}):
            yield f"{node} met {step.output}"
