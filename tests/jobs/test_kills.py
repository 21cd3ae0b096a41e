"""Runs killed at every commit point that they come to: the outcome is as without the kill."""

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from jobs.models import Run, StepRun
from jobs.testing import killed_at, recorded_points, recover, run_inline, without_messages
from jobs.testing.hourglass import family
from tests.jobs import ledger, vocabulary

EVENTS = [("led.paid", {"order": 4, "amount": 7})]


@dataclass(frozen=True)
class Result:
    """What must not depend on a kill."""

    ended: tuple[str, str, Any, Any]
    rows: tuple[str, ...]
    undone: tuple[tuple[str, str], ...]
    compensated: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    computed: tuple[str, ...]


@pytest.fixture(autouse=True)
def _clear() -> Iterator[None]:
    ledger.clear()
    yield
    ledger.clear()


def result_of(run: Run) -> Result:
    runs = family(run.pk)
    error = run.error and (run.error["type"], run.error["node"], run.error["message"])
    compensated = StepRun.objects.filter(
        run_id__in=runs, phase="compensation", status="succeeded"
    ).values_list("node", flat=True)
    return Result(
        ended=(run.status, run.rollback, run.output, error),
        rows=tuple(sorted(node for one in runs for node in ledger.rows_of(one))),
        # Those that are not atomic may run more than once, and then with the same argument.
        undone=tuple(sorted({(node, repr(value)) for node, value in ledger.UNDONE})),
        compensated=tuple(sorted(compensated)),
        keys=tuple(sorted(set(ledger.OUTSIDE))),
        computed=tuple(sorted(set(ledger.COMPUTED))),
    )


def faults_of(run: Run) -> list[str]:
    """Return what no run may show, killed or not."""
    runs = family(run.pk)
    found = []
    for row in StepRun.objects.filter(run_id__in=runs):
        outcomes = Counter(row.tries.values_list("outcome", flat=True))
        if outcomes["succeeded"] > 1:
            found.append(f"{row.node} has succeeded {outcomes['succeeded']} times")
        if row.status in ("ready", "running", "waiting"):
            found.append(f"{row.node} is {row.status}")
    open_ = Run.objects.filter(pk__in=runs, finished_at=None).values_list("workflow", flat=True)
    return found + [f"{name} has not ended" for name in open_]


def ends_of(points: list[str]) -> list[str]:
    """Return the first and the last time at each point: what lies between are more of the same."""
    last = {point.partition("#")[0]: point for point in points}
    return [point for point in points if "#" not in point or point in last.values()]


def kill_everywhere(flow: Any, *, fails: bool) -> None:
    """Kill a run at each point that it comes to, one run for each, and compare their results."""
    with recorded_points() as points:
        unharmed = run_inline(flow, 3, fails, company="acme", events=EVENTS)
    expected = result_of(unharmed)
    assert faults_of(unharmed) == []
    assert unharmed.status == ("failed" if fails else "succeeded")
    assert len(points) > 10

    differences = {}
    for point in ends_of(points):
        ledger.clear()
        killed = run_inline(flow, 3, fails, company="acme", events=EVENTS, crash_at=point)
        run = recover(killed, events=EVENTS)
        if (found := result_of(run)) != expected or faults_of(run):
            differences[point] = (found, faults_of(run))
    assert differences == {}, f"without a kill: {expected}"


@pytest.mark.parametrize("flow", ["chain", "group", "items", "family", "words"])
def test_a_kill_at_any_point_changes_no_rollback(transactional_db: None, flow: str) -> None:
    kill_everywhere(getattr(ledger, flow), fails=True)


@pytest.mark.parametrize("flow", ["chain", "group", "words"])
def test_a_kill_at_any_point_changes_no_result(transactional_db: None, flow: str) -> None:
    kill_everywhere(getattr(ledger, flow), fails=False)


def test_nor_does_it_with_a_message_for_each_step(
    transactional_db: None, settings: Settings
) -> None:
    settings.JOBS_IN_PLACE = timedelta(0)

    kill_everywhere(ledger.chain, fails=True)


def cancelled(crash_at: str | None = None) -> Result:
    """Undo a run that has succeeded; if the first try is killed, what it began goes on."""
    ledger.clear()
    run = run_inline(ledger.family, 3, False, company="acme")
    with without_messages(), killed_at(crash_at) if crash_at else nullcontext():
        run.cancel(reason="a test")
    with without_messages():
        run.cancel(reason="a test")
    return result_of(recover(run))


def test_a_kill_at_any_point_of_a_cancel_changes_nothing(transactional_db: None) -> None:
    run = run_inline(ledger.family, 3, False, company="acme")
    with recorded_points() as points, without_messages():
        run.cancel(reason="a test")
    expected = cancelled()

    assert {"cancel-written", "turned", "cancelled"} <= set(points)
    assert expected.ended[:2] == ("cancelled", "complete")
    assert {point: cancelled(point) for point in points} == dict.fromkeys(points, expected)


@pytest.mark.parametrize("flow", [vocabulary.sleeping, vocabulary.waiting])
def test_a_wait_that_is_over_is_not_begun_again_for_a_worker_that_died(db: None, flow: Any) -> None:
    events = [("payment.settled", {"order": "1"})]
    given = 1 if flow is vocabulary.sleeping else "1"
    killed = run_inline(flow, given, company="acme", events=events, crash_at="claimed#2")

    with recorded_points() as points:
        run = recover(killed)

    assert run.output == (1 if flow is vocabulary.sleeping else {"order": "1"})
    assert "put-to-wait" not in points
