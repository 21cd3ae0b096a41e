"""What commits together, and what is saved at once: atomic steps, undo data, memos."""

from collections.abc import Iterator
from typing import Any

import pytest

from jobs.models import Run, StepRun
from jobs.testing import recorded_points, recover, run_inline, without_messages
from tests.jobs import ledger
from tests.jobs.deaths import die_at


@pytest.fixture(autouse=True)
def _clear(transactional_db: None) -> Iterator[None]:
    ledger.clear()
    yield
    ledger.clear()


def started(fails: bool) -> Run:
    with without_messages():
        run: Any = ledger.once.start(3, fails, company="acme")
    found: Run = run
    return found


def atomic_nodes(run: Run) -> list[str]:
    done = StepRun.objects.filter(run=run, step="led-atomic", status="succeeded")
    return sorted(done.values_list("node", flat=True))


@pytest.mark.parametrize("fails", [False, True], ids=["succeeding", "failing"])
def test_a_process_that_dies_leaves_rows_and_outcome_of_an_atomic_step_or_neither(
    fails: bool,
) -> None:
    first = started(fails)
    with recorded_points() as points:
        recover(first)
    found = set()

    for point in points:
        run = started(fails)
        die_at(point, run)
        nodes = atomic_nodes(run)
        assert ledger.rows_of(run.pk) == nodes, point
        found.add(len(nodes))
        recover(run)
        assert ledger.rows_of(run.pk) == atomic_nodes(run), point
        assert len(atomic_nodes(run)) == 1 + fails

    assert found == set(range(2 + fails))  # with each number of them done, some died


SAVED = {
    "undo_with": [None, {"half": "undo_with"}, {"whole": "undo_with"}],
    "failure": [None, {"failed": "failure"}],
    "done": [None, {"done": "done"}],
}


@pytest.mark.parametrize("way", SAVED)
def test_after_undo_data_is_saved_the_compensation_gets_exactly_that(way: str) -> None:
    with recorded_points() as points:
        run_inline(ledger.trying_once, way, company="acme")
    seen = []

    for point in points[: points.index("received#2")]:  # until its rollback begins
        ledger.clear()
        killed = run_inline(ledger.trying_once, way, company="acme", crash_at=point)
        saved = undo_of(killed, "led-only-try")
        run = recover(killed)
        kept = undo_of(run, "led-only-try")
        given = [value for node, value in ledger.UNDONE if node == "led-only-try.compensate"]
        assert run.status == "failed", point
        assert given == ([] if kept is None else [kept]), point
        assert saved in (None, kept), point
        seen.append(saved)

    assert [value for value in SAVED[way] if value not in seen] == []


def test_attempts_that_died_before_they_saved_leave_what_was_saved_before() -> None:
    run = run_inline(ledger.trying_twice, 1, company="acme", crash_at="undo-saved")
    run = recover(run, crash_at="claimed")

    ended = recover(run)

    assert ended.error is not None
    assert (ended.error["type"], ended.rollback) == ("WorkerLost", "complete")
    assert ledger.UNDONE == [("led-two-tries.compensate", {"try": 1})]


def test_the_last_attempt_to_save_says_what_is_undone() -> None:
    run = run_inline(ledger.trying_twice, 1, company="acme", crash_at="undo-saved")
    run = recover(run, crash_at="undo-saved")

    recover(run)

    assert ledger.UNDONE == [("led-two-tries.compensate", {"try": 2})]


def test_what_ctx_run_has_saved_is_not_computed_again() -> None:
    with recorded_points() as points:
        run_inline(ledger.saving_only, 3, company="acme")
    computed = {}

    for point in points:
        ledger.clear()
        run = run_inline(ledger.saving_only, 3, company="acme", crash_at=point)
        assert recover(run).output == 30
        computed[point] = len(ledger.COMPUTED)

    # Between the call and its saving lies what no one can close.
    assert computed == {point: 1 + (point == "memo-computed") for point in points}


def undo_of(run: Run, node: str) -> Any:
    row = StepRun.objects.filter(run=run, node=node).first()
    return row and row.undo
