"""What a step costs: statements and messages, counted. BEGIN and COMMIT count as statements."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from jobs import Context, dispatch, execution, step, workflow
from jobs.dispatch import WakeUp
from jobs.models import Run
from jobs.testing import run_inline
from tests.jobs import ledger


@step(name="trip-plain")
def plain(ctx: Context, number: int) -> int:
    return number + 1


@plain.compensation
def undo_plain(ctx: Context, number: int) -> None:
    """Nothing is left to undo."""


@step(name="trip-apart", queue="webhooks")
def apart(ctx: Context, number: int) -> int:
    return number + 1


@step(name="trip-atomic", atomic=True)
def atomic(ctx: Context, number: int) -> int:
    ledger.write_row(ctx)
    return number


@workflow(name="trip/five")
def five(number: int) -> int:
    return plain(plain(plain(plain(plain(number)))))


@workflow(name="trip/apart")
def each_apart(number: int) -> int:
    return apart(plain(apart(plain(apart(number)))))


@workflow(name="trip/atomic")
def of_an_atomic_step(number: int) -> int:
    return atomic(plain(number))


class Trips:
    """Works on one run after the other, and counts."""

    def __init__(self, flow: Any) -> None:
        self.statements: list[list[str]] = []
        self.messages: list[WakeUp] = []
        self.run = self._start(flow)
        while len(self.statements) - 1 < len(self.messages):
            self._deliver(self.messages[len(self.statements) - 1])

    def _start(self, flow: Any) -> Any:
        with dispatch.holding_back() as sent, CaptureQueriesContext(connection) as captured:
            run = flow.start(1, company="acme")
        self._note(captured, sent)
        return run

    def _deliver(self, wake_up: WakeUp) -> None:
        with dispatch.holding_back() as sent, CaptureQueriesContext(connection) as captured:
            execution.perform(wake_up.step_run_id, worker="counting")
        self._note(captured, sent)

    def _note(self, captured: CaptureQueriesContext, sent: list[WakeUp]) -> None:
        self.statements.append([query["sql"] for query in captured.captured_queries])
        self.messages += sent

    @property
    def counts(self) -> list[int]:
        """Statements of the start, then of each message."""
        assert Run.objects.get(pk=self.run.pk).status == "succeeded"
        return [len(statements) for statements in self.statements]


@pytest.fixture(autouse=True)
def _known(transactional_db: None) -> None:
    """Pin the definitions and read the plans, as a worker has after its first run."""
    for flow in (five, each_apart, of_an_atomic_step):
        run_inline(flow, 1, company="acme")


def test_a_linear_run_is_one_message_and_a_statement_for_each_step() -> None:
    trips = Trips(five)

    assert trips.counts == [1, 1 + 5]  # the start; the claim, and an outcome for each step
    assert len(trips.messages) == 1


def test_with_a_message_each_a_step_is_a_claim_and_an_outcome(settings: Settings) -> None:
    settings.JOBS_IN_PLACE = timedelta(0)

    trips = Trips(five)

    assert trips.counts == [1, 2, 2, 2, 2, 2]


def test_so_it_is_where_every_step_has_another_queue() -> None:
    trips = Trips(each_apart)

    assert trips.counts == [1, 2, 2, 2, 2, 2]


def test_an_atomic_step_adds_its_transaction_and_its_own_statements() -> None:
    trips = Trips(of_an_atomic_step)

    assert trips.counts == [1, 1 + 1 + 1 + 3]
    assert [statement.partition(" ")[0] for statement in trips.statements[1]] == [
        *("SELECT", "SELECT"),  # the claim, the outcome of the plain step
        *("BEGIN", "INSERT", "SELECT", "COMMIT"),
    ]
