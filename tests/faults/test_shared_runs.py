"""The checker finds what is wrong between a run and its child, and with starts that share a run."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.faults import fixed, numbers
from tests.faults.behaviours import RunPlan
from tests.faults.invariants import asking, kin
from tests.faults.records import RunRecord
from tests.faults.rows import Ask, Line, RunRow, StepRow
from tests.faults.shapes import CHILD, Call, Sequence, Shape

START = datetime(2026, 1, 1, tzinfo=UTC)
SHAPE = Shape("faults/0", Sequence((Call("n1", CHILD),)), ("n1",))
NUMBER = 50
OUTPUT = [7]
COMPENSATION = "n1.compensate"


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def make_run(shape: Shape, given: Any, *, begun: float = 0.0, **fields: Any) -> RunRecord:
    """Return a succeeded run whose first code ran at that second, and which lasted for one."""
    run_id, ended = uuid4(), after(begun + 1)
    row = RunRow(
        run_id, shape.name, {"number": given}, "succeeded", "not_needed", None, None, OUTPUT,
        after(begun), ended,
    )  # fmt: skip
    record = RunRecord(replace(row, **fields), RunPlan(record_number(given), shape, {}, None))
    line = Line(1, run_id, 1, 0, "n1", 1, "started", "key", [], 7, after(begun))
    record.lines.append(line)
    return record


def record_number(given: Any) -> int:
    return numbers.number_of(given)


def make_step(record: RunRecord, node: str, phase: str, status: str) -> None:
    record.steps[node] = StepRow(
        len(record.steps) + 1, record.row.id, 1, node, "faults/8", CHILD, phase, status, None, 1,
        OUTPUT, None, None, START, None, None, START, START, after(1),
    )  # fmt: skip


def family() -> tuple[RunRecord, RunRecord]:
    parent = make_run(SHAPE, NUMBER)
    make_step(parent, "n1", "forward", "succeeded")
    return parent, make_run(SHAPE, [NUMBER, "n1", []], parent_id=1)


def undone_family() -> tuple[RunRecord, RunRecord]:
    parent, child = family()
    parent.row = replace(parent.row, status="cancelled", rollback="complete")
    child.row = replace(child.row, status="cancelled", rollback="complete")
    make_step(parent, COMPENSATION, "compensation", "succeeded")
    return parent, child


def change(record: RunRecord, **fields: Any) -> None:
    record.row = replace(record.row, **fields)


def end_badly(parent: RunRecord, child: RunRecord) -> None:
    parent.steps[COMPENSATION] = replace(parent.steps[COMPENSATION], status="failed")


@pytest.mark.parametrize("made", [family, undone_family])
def test_nothing_is_found_in_a_family_where_nothing_is_wrong(
    made: Callable[[], tuple[RunRecord, RunRecord]],
) -> None:
    assert list(kin.agree(made())) == []


Family = Callable[[], tuple[RunRecord, RunRecord]]
WRONGS: dict[str, tuple[Family, Callable[[RunRecord, RunRecord], object]]] = {
    "no child": (family, lambda parent, child: change(child, parent_id=99)),
    "another's child": (family, lambda p, c: change(c, input={"number": [NUMBER, "n2", []]})),
    "wrong values": (family, lambda p, c: change(c, input={"number": [NUMBER, "n1", [3]]})),
    "another output": (family, lambda parent, child: change(child, output=[8])),
    "a child that lives on": (family, lambda p, c: change(c, status="running")),
    "a child that failed": (family, lambda p, c: change(c, status="failed")),
    "a child that stands": (undone_family, lambda p, c: change(c, status="succeeded")),
    "a child not undone": (undone_family, lambda p, c: change(c, rollback="incomplete")),
    "a child undone in vain": (undone_family, end_badly),
}


@pytest.mark.parametrize("name", WRONGS)
def test_what_is_wrong_between_parent_and_child_is_found(name: str) -> None:
    made, alter = WRONGS[name]
    parent, child = made()

    alter(parent, child)

    assert list(kin.agree([parent, child]))


def test_two_child_runs_of_one_step_are_found() -> None:
    parent, child = family()

    assert list(kin.agree([parent, child, child]))


def ask(record: RunRecord, number: int, *, at: float, run_id: UUID | None = None) -> Ask:
    return Ask(int(at * 10), number, after(at), run_id or record.row.id, after(at + 0.1))


def test_two_live_runs_of_a_singleton_are_found() -> None:
    first = make_run(fixed.SINGLE, numbers.SINGLES)
    later = make_run(fixed.SINGLE, numbers.SINGLES, begun=2)
    beside = make_run(fixed.SINGLE, numbers.SINGLES, begun=0.5)
    other = make_run(fixed.SINGLE, numbers.SINGLES + 1, begun=0.5)

    assert list(asking.were_answered([first, later, other], [])) == []
    assert list(asking.were_answered([first, beside], []))


def test_an_answer_of_another_time_or_key_is_found() -> None:
    run = make_run(fixed.SINGLE, numbers.SINGLES)

    assert list(asking.were_answered([run], [ask(run, numbers.SINGLES, at=0.5)])) == []
    for wrong in (
        ask(run, numbers.SINGLES, at=2),
        ask(run, numbers.SINGLES + 1, at=0.5),
        ask(run, numbers.SINGLES, at=0.5, run_id=uuid4()),
    ):
        assert list(asking.were_answered([run], [wrong]))


def test_a_debounced_run_of_an_older_start_or_too_early_is_found() -> None:
    run = make_run(fixed.DEBOUNCED, numbers.DEBOUNCED + 2, begun=5)
    first = ask(run, numbers.DEBOUNCED, at=1)

    last = ask(run, numbers.DEBOUNCED + 2, at=2)
    assert list(asking.were_answered([run], [first, last])) == []
    assert list(asking.were_answered([run], [last, ask(run, numbers.DEBOUNCED, at=3)]))
    assert list(asking.were_answered([run], [first, replace(last, asked_at=after(4.5))]))
