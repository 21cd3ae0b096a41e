"""Rows as the relay, workers and writers leave them, in plain SQL."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db import connection
from django.utils import timezone

from counterpoint.models import Tally
from counterpoint.monitoring import tallies
from jobs.models import Definition, Run

Connect = Callable[[], Any]


def sql(statement: str, *parameters: Any, **named: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, named or parameters)
        return list(cursor.fetchall()) if cursor.description else []


def make_event(*, type: str = "booking.created", company: str | None = "acme") -> int:  # noqa: A002
    [(seq,)] = sql(
        "INSERT INTO event_system_event (source, type, company) VALUES ('test', %s, %s)"
        " RETURNING seq",
        type,
        company,
    )
    return int(seq)


def make_delivery(
    seq: int,
    *,
    status: str = "pending",
    handler_type: str = "WEBHOOK",
    company: str | None = "acme",
    age: timedelta = timedelta(),
    ended: timedelta | None = None,
) -> int:
    """Insert one of an event; `age` is that of the event, `ended` how long ago it ended."""
    [(pk,)] = sql(
        "INSERT INTO event_system_delivery (event_at, event_seq, event_id, subscription_id,"
        " company, handler_type, status, due_at, finished_at)"
        " SELECT recorded_at - %s, seq, id, 1, %s, %s, %s, clock_timestamp(),"
        " clock_timestamp() - %s::interval FROM event_system_event WHERE seq = %s RETURNING id",
        age,
        company,
        handler_type,
        status,
        ended,
        seq,
    )
    return int(pk)


def make_try(
    delivery_id: int, *, status: str = "delivered", duration: timedelta = timedelta(seconds=0.2)
) -> None:
    sql(
        "INSERT INTO event_system_delivery_attempt (delivery_id, generation, number, status,"
        " started_at, duration) VALUES (%s, 1, 1, %s, clock_timestamp(), %s)",
        delivery_id,
        status,
        duration,
    )


def make_dead_letter(source_id: str, *, reason: str = "unknown_type", status: str = "open") -> None:
    sql(
        "INSERT INTO event_system_dead_letter"
        " (source, source_id, queue, message_id, reason, body, sent_at, status)"
        " VALUES ('sqs', %s, 'events', 'm', %s, 'x', now(), %s)",
        source_id,
        reason,
        status,
    )


def make_run(**fields: Any) -> Run:
    """Insert a run; one that has ended by its status ended now."""
    plan, _ = Definition.objects.get_or_create(hash="x", defaults={"workflow": "w", "plan": {}})
    given = {"workflow": "w", "definition": plan, "queue": "default", "input": {}, **fields}
    if given.get("status") in Run.ENDED:
        given.setdefault("finished_at", timezone.now())
    return Run.objects.create(id=uuid4(), **given)


def count_all() -> None:
    """Let the tallies take in all that is there: a first turn begins, a number takes two more."""
    tallies.turn(every=timedelta())
    tallies.turn(every=timedelta())


def tallied(family: str, *names: str) -> dict[Any, int]:
    """Return the counts of a family by these columns."""
    counts: dict[Any, int] = {}
    for row in Tally.objects.filter(family=family):
        key = tuple(getattr(row, name) for name in names)
        counts[key] = counts.get(key, 0) + row.count
    return counts
