"""The checker finds what is wrong: each record here is a right one with one thing changed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.faults.behaviours import ATTEMPTS, COMPENSATE, Behaviour, RunPlan
from tests.faults.invariants import check, limits
from tests.faults.numbers import ROLLED_BACK
from tests.faults.records import RunRecord
from tests.faults.rows import AttemptRow, Effect, JoinRow, Line, RunRow, StepRow
from tests.faults.shapes import LIMIT, RATE, Call, Parallel, Sequence, Shape
from tests.faults.values import given, output_of

START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBER = 50
SHAPE = Shape(
    "faults/0",
    Sequence(
        (
            Call("n1", "undoable"),
            Parallel(
                (
                    Sequence((Call("n2", "atomic", ("n1",)),)),
                    Sequence((Call("n3", "limited", ("n1",)),)),
                )
            ),
            Call("n4", "plain", ("n2", "n3")),
        )
    ),
    ("n4",),
)
DOOMED = Behaviour(ending="permanent")


class Story:
    """Writes a run's record, one attempt after the other, at moments 10 ms apart."""

    def __init__(self, *, doomed: str = "") -> None:
        names = [call.node + suffix for call in SHAPE.calls for suffix in ("", COMPENSATE)]
        nodes = {name: DOOMED if name == doomed else Behaviour() for name in names}
        self.run_id = uuid4()
        row = RunRow(
            self.run_id,
            SHAPE.name,
            {"n": NUMBER},
            "running",
            "not_needed",
            None,
            None,
            None,
            START,
            None,
        )
        self.record = RunRecord(row, RunPlan(NUMBER, SHAPE, nodes, None))
        self.record.joins.append(JoinRow(self.run_id, "parallel-1", 0))
        self.now = START

    def tick(self) -> datetime:
        self.now += timedelta(milliseconds=10)
        return self.now

    def line(self, node: str, event: str, value: Any, attempt: int = 1) -> None:
        lines = self.record.lines
        key = f"{self.run_id}/{node}"
        at = self.tick()
        number = len(lines) + 1
        step_id = len(self.record.steps)
        lines.append(
            Line(number, self.run_id, step_id, NUMBER, node, attempt, event, key, value, 7, at)
        )

    def perform(self, node: str, *, status: str = "succeeded") -> None:
        """Let a node, or a compensation, run once."""
        is_back = node.endswith(COMPENSATE)
        began = self.tick()
        values = self._undo(node) if is_back else self._given(node)
        self.line(node, "started", values)
        output = None
        if status == "succeeded":
            output = output_of(NUMBER, node, values)
            self.record.effects.append(Effect(self.run_id, node, 1, self.tick()))
            self.line(node, "returning", output)
        ended = self.tick()
        error = None if status == "succeeded" else {"type": "PermanentFailure"}
        phase = "compensation" if is_back else "forward"
        step = StepRow(
            len(self.record.steps),
            self.run_id,
            1,
            node,
            "step",
            "step",
            phase,
            status,
            None,
            1,
            None if is_back else output,
            None,
            error,
            began,
            None,
            None,
            began,
            began,
            ended,
        )
        self.record.steps[node] = step
        one = AttemptRow(self.run_id, node, 1, status, error, f"worker:{node}", began, ended)
        self.record.tries[node].append(one)

    def _given(self, node: str) -> list[Any]:
        return given(SHAPE.call(node), node, NUMBER, self.record.values())

    def _undo(self, node: str) -> list[Any]:
        return [self.record.steps[node.removesuffix(COMPENSATE)].output]

    def end(self, status: str, rollback: str = "not_needed") -> RunRecord:
        output = [self.record.steps["n4"].output] if status == "succeeded" else None
        self.record.row = replace(
            self.record.row,
            status=status,
            rollback=rollback,
            output=output,
            finished_at=self.tick(),
        )
        return self.record


def succeeded() -> RunRecord:
    story = Story()
    for node in ("n1", "n2", "n3", "n4"):
        story.perform(node)
    return story.end("succeeded")


def rolled_back() -> RunRecord:
    story = Story(doomed="n4")
    for node in ("n1", "n2", "n3"):
        story.perform(node)
    story.perform("n4", status="failed")
    for node in ("n2", "n1"):
        story.perform(node + COMPENSATE)
    return story.end("failed", "complete")


def change_step(record: RunRecord, node: str, **fields: Any) -> None:
    record.steps[node] = replace(record.steps[node], **fields)


def change_try(record: RunRecord, node: str, **fields: Any) -> None:
    record.tries[node][-1] = replace(record.tries[node][-1], **fields)


def change_line(record: RunRecord, node: str, event: str, **fields: Any) -> None:
    record.lines = [
        replace(line, **fields) if (line.node, line.event) == (node, event) else line
        for line in record.lines
    ]


def share_key(record: RunRecord, *nodes: str) -> None:
    key = record.lines[0].key
    record.lines = [replace(line, key=key) if line.node in nodes else line for line in record.lines]


def forget_the_plan(record: RunRecord) -> None:
    record.plan = replace(record.plan, nodes=dict.fromkeys(record.plan.nodes, Behaviour()))


def change_run(record: RunRecord, **fields: Any) -> None:
    record.row = replace(record.row, **fields)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert check([succeeded(), rolled_back()]) == []


def recall(record: RunRecord, *values: int) -> None:
    """Let the second attempts of n4 draw and recall these values, one after the other."""
    template = record.lines_of("n4", "started")[0]
    for value in values:
        for event in ("drawing", "recalled"):
            record.lines.append(replace(template, event=event, value=value))
            template = replace(template, at=template.at + timedelta(milliseconds=1))


def make_first(record: RunRecord, kind: str) -> None:
    """Let the first step be of that kind."""
    first, *rest = SHAPE.body.items
    assert isinstance(first, Call)
    body = Sequence((replace(first, kind=kind), *rest))
    record.plan = replace(record.plan, shape=replace(SHAPE, body=body, _places={}))


def cut_short(record: RunRecord) -> None:
    """Let n1 be one whose failure leaves out the rest, and which failed."""
    make_first(record, "cutting")
    change_step(record, "n1", status="failed")


Change = Callable[[RunRecord], object]
LATER = START + timedelta(seconds=9)

WRONGS: dict[str, tuple[str, Callable[[], RunRecord], Change]] = {
    "a rolled back start": (
        "start",
        succeeded,
        lambda r: change_run(r, input={"n": ROLLED_BACK + NUMBER}),
    ),
    "a failure without reason": ("plan", rolled_back, forget_the_plan),
    "a success in spite of a failure": (
        "plan",
        rolled_back,
        lambda r: change_run(r, status="succeeded", rollback="not_needed"),
    ),
    "a cancellation by nobody": ("plan", rolled_back, lambda r: change_run(r, status="cancelled")),
    "a wrong output": ("plan", succeeded, lambda r: change_run(r, output=[1])),
    "a step left open": ("I1", succeeded, lambda r: change_step(r, "n3", status="ready")),
    "an outcome of none of its attempts": (
        "I2",
        succeeded,
        lambda r: change_try(r, "n2", outcome="lost"),
    ),
    "an outcome before its attempt returned": (
        "I2",
        succeeded,
        lambda r: change_line(r, "n2", "returning", at=LATER),
    ),
    "an attempt without record": ("I2", succeeded, lambda r: change_step(r, "n2", attempts=2)),
    "more attempts than allowed": (
        "I2",
        succeeded,
        lambda r: change_line(r, "n2", "started", attempt=ATTEMPTS + 1),
    ),
    "another key": ("I3", rolled_back, lambda r: change_line(r, "n2", "returning", key="other")),
    "a key of two nodes": ("I3", rolled_back, lambda r: share_key(r, "n1", "n2")),
    "a sub-step with two values": ("I3", succeeded, lambda r: recall(r, 1, 2)),
    "a sub-step run again": ("I3", succeeded, lambda r: recall(r, 1, 1)),
    "an effect lost": ("I3", succeeded, lambda r: r.effects.clear()),
    "an atomic effect doubled": ("I3", succeeded, lambda r: r.effects.append(r.effects[1])),
    "an atomic effect of a failure": (
        "I3",
        rolled_back,
        lambda r: change_step(r, "n2", status="failed"),
    ),
    "a start before its values": (
        "I4",
        succeeded,
        lambda r: change_line(r, "n4", "started", at=START),
    ),
    "a wrong value": ("I4", succeeded, lambda r: change_line(r, "n4", "started", value=[1, 2])),
    "a join left open": (
        "I4",
        succeeded,
        lambda r: r.joins.append(JoinRow(r.row.id, "parallel-2", 1)),
    ),
    "a compensation that is missing": ("I5", rolled_back, lambda r: r.steps.pop("n2.compensate")),
    "a compensation of a success": ("I5", succeeded, lambda r: r.steps.update(rolled_back().steps)),
    "two successes of a compensation": (
        "I5",
        rolled_back,
        lambda r: r.tries["n2.compensate"].append(r.tries["n2.compensate"][0]),
    ),
    "a rollback in order": (
        "I5",
        rolled_back,
        lambda r: change_step(r, "n2.compensate", finished_at=LATER),
    ),
    "a rollback beside a live step": (
        "I5",
        rolled_back,
        lambda r: change_step(r, "n3", finished_at=LATER),
    ),
    "wrong undo data": (
        "I5",
        rolled_back,
        lambda r: change_line(r, "n1.compensate", "started", value=[1]),
    ),
    "a failed compensation hidden": (
        "I5",
        rolled_back,
        lambda r: change_step(r, "n2.compensate", status="failed"),
    ),
    "a rollback past the pivot": ("I5", rolled_back, lambda r: make_first(r, "pivot")),
    "a rest that was not left out": ("plan", succeeded, cut_short),
    "an event of a failure": ("I6", rolled_back, lambda r: r.told.update(["n1"])),
    "an attempt started twice": ("I8", succeeded, lambda r: r.lines.append(r.lines[0])),
    "an attempt lost before its lease": (
        "I9",
        rolled_back,
        lambda r: change_try(r, "n4", outcome="lost"),
    ),
}


@pytest.mark.parametrize("name", WRONGS)
def test_what_is_wrong_is_found(name: str) -> None:
    invariant, story, change = WRONGS[name]
    record = story()

    change(record)

    assert invariant in {violation.invariant for violation in check([record])}


def test_more_starts_than_a_rate_allows_are_found() -> None:
    def rated() -> RunRecord:
        record = succeeded()
        kinds = [replace(call, kind="rated") for call in SHAPE.calls]
        shape = replace(SHAPE, body=Sequence(tuple(kinds[:1])), _places={})
        record.plan = replace(record.plan, shape=shape)
        record.steps = {"n1": record.steps["n1"]}
        return record

    records = [rated() for _ in range(RATE + 1)]  # all at the same moments

    assert list(limits.were_kept(records))
    assert not list(limits.were_kept(records[:RATE]))


def test_more_steps_at_once_than_a_limit_allows_are_found() -> None:
    records = [succeeded() for _ in range(LIMIT + 1)]  # all at the same moments

    assert {violation.invariant for violation in check(records)} == {"I7"}
    assert check(records[:LIMIT]) == []
