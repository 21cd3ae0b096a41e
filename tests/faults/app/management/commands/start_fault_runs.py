"""`manage.py start_fault_runs`: start the seed's runs, each at its moment; may be killed and rerun.

Every run is started twice with one key, and once in a transaction that is rolled back.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, connection, transaction

from jobs import services
from jobs.errors import IdempotencyConflict, RunRefused
from tests.faults import fixed, numbers
from tests.faults.app import environment, journal
from tests.faults.app.events import MET
from tests.faults.behaviours import AFTER_PEACE, plan
from tests.faults.seeds import rng
from tests.faults.shapes import Shape

ASKS = 12  # for runs of the singleton, and as many for debounced ones
RUNS_BY_HAND = 3


class Command(BaseCommand):
    help = "Start the runs of a history of faults."

    def handle(self, *args: Any, **options: Any) -> None:
        todo = sorted(_todo(), key=lambda entry: entry[0])
        first = todo[0][0]
        for at, act in todo:
            insist(partial(_wait_until, at - first))
            insist(act)


def _wait_until(seconds: float) -> None:
    """Sleep until so long after the first run's start, by the database's clock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - min(created_at))::float FROM jobs_run"
        )
        (elapsed,) = cursor.fetchone()
    time.sleep(max(0.0, seconds - (elapsed or 0.0)))


def _todo() -> list[tuple[float, Callable[[], None]]]:
    """Return what to do when, in seconds since the history's start."""
    seed = environment.seed()
    found: list[tuple[float, Callable[[], None]]] = []
    for number in range(int(environment.number(environment.RUNS))):
        seconds = environment.number(environment.SECONDS)
        at = rng(seed, "start", number).uniform(0.0, seconds * 0.8)
        if number == AFTER_PEACE:
            at = seconds + 1.5
        found.append((at, partial(start, number)))
        cancel_after = plan(seed, number).cancel_after
        if cancel_after is not None:
            found.append((at + cancel_after, partial(cancel, number)))
        if number % 2:
            found.append((at + rng(seed, "meet", number).uniform(0.0, 3.0), partial(meet, number)))
    return [*found, *_todo_beside(seed)]


def _todo_beside(seed: int) -> Iterator[tuple[float, Callable[[], None]]]:
    """Yield what concerns the workflows that every history has."""
    seconds = environment.number(environment.SECONDS)
    for index in range(ASKS):
        draw = rng(seed, "ask", index)
        yield draw.uniform(0.0, seconds), partial(ask, fixed.SINGLE, numbers.SINGLES + index)
        at = draw.uniform(0.0, seconds)
        yield at, partial(ask, fixed.DEBOUNCED, numbers.DEBOUNCED + index)
    for index in range(RUNS_BY_HAND):
        at = rng(seed, "by hand", index).uniform(0.0, seconds * 0.8)
        yield at, partial(start_by_hand, numbers.BY_HAND + index)


def ask(shape: Shape, number: int) -> None:
    """Ask for a run that may be one of those that there are."""
    journal.ask(number, lambda: services.start_workflow(shape.name, number, company="one").pk)


def start_by_hand(number: int) -> None:
    """Start a run of the canvas that was written by hand."""
    key = f"fault-{number}"
    services.start_workflow(fixed.HAND.name, number, company="one", idempotency_key=key)


def start(number: int) -> None:
    """Start a run twice, which gives one, and once in vain."""
    seed = environment.seed()
    name = plan(seed, number).shape.name
    company = f"company-{number % 3}"
    for _ in range(2):
        services.start_workflow(name, number, company=company, idempotency_key=f"fault-{number}")
    try:
        services.start_workflow(
            name, number + numbers.ROLLED_BACK, company=company, idempotency_key=f"fault-{number}"
        )
    except IdempotencyConflict:
        pass
    else:
        raise AssertionError(f"run {number}: another input under its key was accepted")
    with transaction.atomic():
        services.start_workflow(name, number + numbers.ROLLED_BACK, company=company)
        transaction.set_rollback(True)


def cancel(number: int) -> None:
    """Cancel a run, if it is not ending already or past its point of no return."""
    with suppress(RunRefused):
        services.cancel(_run(number), reason="as planned")


def meet(number: int) -> None:
    """Send a run what it may wait for, now or later."""
    with suppress(RunRefused):  # it has ended
        services.send_event(_run(number), MET, {"number": number})


def _run(number: int) -> UUID:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM jobs_run WHERE idempotency_key = %s", [f"fault-{number}"])
        found: UUID = cursor.fetchone()[0]
    return found


def insist(act: Callable[[], None]) -> None:
    """Do it, again if the database is away meanwhile; all of it may be done twice."""
    while True:
        try:
            return act()
        except (DatabaseError, InterfaceError, psycopg.OperationalError):
            connection.close()
            journal.forget()
            time.sleep(0.2)
