"""Events that are published later: kept in rows, moved and cancelled by key, fired by the relay.

A row becomes an event in one statement, so it does so once: what a dead relay left is still there,
what it has published is gone.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from pydantic import BaseModel

from subscriptions.contracts import type_of
from subscriptions.errors import CannotSchedule
from subscriptions.models import ScheduledEvent
from subscriptions.statements import execute, fetch

LONGEST = timedelta(days=366)
LONGEST_KEY = 500

# No row: the moment is out of bounds. A row that is being fired makes this wait; then there are two
# events, for that one was published before it could be moved.
SCHEDULE = """
INSERT INTO event_system_scheduled_event
    (company, type, version, payload, key, due_at, correlation_id, depth)
SELECT %(company)s, %(type)s, %(version)s, %(payload)s::json, %(key)s, due.at,
    COALESCE(%(correlation_id)s, NULLIF(current_setting('counterpoint.correlation_id', true), '')),
    COALESCE(%(depth)s, CASE WHEN current_setting('counterpoint.depth', true) ~ '^[0-9]{1,6}$'
        THEN current_setting('counterpoint.depth', true)::integer ELSE 0 END)
FROM (SELECT COALESCE(%(at)s::timestamptz, clock_timestamp() + %(delay)s::interval)) AS due (at)
WHERE due.at BETWEEN '1900-01-01Z' AND clock_timestamp() + %(longest)s
ON CONFLICT (company, type, key) WHERE key IS NOT NULL DO UPDATE SET
    version = excluded.version, payload = excluded.payload, due_at = excluded.due_at,
    correlation_id = excluded.correlation_id, depth = excluded.depth,
    updated_at = clock_timestamp()
RETURNING id
"""

MOVE = """
UPDATE event_system_scheduled_event AS s SET due_at = due.at, updated_at = clock_timestamp()
FROM (SELECT COALESCE(%(at)s::timestamptz, clock_timestamp() + %(delay)s::interval)) AS due (at)
WHERE s.id = ANY (%(ids)s)
    AND due.at BETWEEN '1900-01-01Z' AND clock_timestamp() + %(longest)s
RETURNING s.id
"""

# A row that somebody moves just now is passed over, and looked at again by the next sweep.
FIRE = """
WITH due AS (
    DELETE FROM event_system_scheduled_event WHERE id = ANY (ARRAY(
        SELECT id FROM event_system_scheduled_event WHERE due_at <= COALESCE(%s, now())
        ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED
    )) RETURNING *
)
INSERT INTO event_system_event ("timestamp", source, source_id, company, type, version, payload,
    key, correlation_id, depth)
SELECT due_at, 'code', id::text, company, type, version, payload, key, correlation_id, depth
FROM due ORDER BY due_at, id
"""


@dataclass(frozen=True)
class Moment:
    """When: `at`, an aware time, or `delay` from the database's present; one of the two.

    A moment that has passed means at once. Raises CannotSchedule.
    """

    at: datetime | None = None
    delay: timedelta | None = None

    def __post_init__(self) -> None:
        if (self.at is None) == (self.delay is None):
            raise CannotSchedule("give at= or delay=, one of the two")
        if self.at is not None and self.at.utcoffset() is None:
            raise CannotSchedule(
                f"at={self.at!r} has no time zone; give an aware time, such as datetime.now(UTC)"
            )
        if self.delay is not None and not timedelta(0) <= self.delay <= LONGEST:
            raise CannotSchedule(f"delay={self.delay!r} is not between nothing and a year")

    @property
    def parameters(self) -> dict[str, Any]:
        return {"at": self.at, "delay": self.delay, "longest": LONGEST}

    def too_far(self) -> CannotSchedule:
        return CannotSchedule(f"{self.at} is more than a year ahead, or before 1900")


def schedule(
    event_type: str,
    version: int | None,
    payload_text: str,
    *,
    moment: Moment,
    company: str | None,
    key: str | None,
    correlation_id: str | None,
    depth: int | None,
) -> UUID:
    """Keep an event whose payload has been checked until its moment; return the row's id.

    One that waits under the same company, type and key is moved, and says what this one says.
    Raises CannotSchedule.
    """
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise CannotSchedule(f"a key has 1 to {LONGEST_KEY} characters, this one {len(key)}")
    content = {"type": event_type, "version": version, "payload": payload_text}
    whose = {"company": company, "key": key, "correlation_id": correlation_id, "depth": depth}
    rows = fetch(SCHEDULE, {**content, **whose, **moment.parameters})
    if not rows:
        raise moment.too_far()
    made: UUID = rows[0][0]
    return made


def cancel_scheduled(event: str | type[BaseModel], key: str, *, company: str | None) -> bool:
    """Take back the event that waits under this company, type and key; False if none does (any
    more).

    `event` is a type's name, or the model that was declared as it.
    """
    return cancel(waiting(event, key, company=company)) > 0


def move_scheduled(
    event: str | type[BaseModel],
    key: str,
    *,
    company: str | None,
    at: datetime | None = None,
    delay: timedelta | None = None,
) -> bool:
    """Give the event that waits under this company, type and key another time; False if none does
    (any more). Raises CannotSchedule.
    """
    found = waiting(event, key, company=company).values_list("pk", flat=True)
    return move(list(found), moment=Moment(at=at, delay=delay)) > 0


def waiting(
    event: str | type[BaseModel], key: str, *, company: str | None
) -> QuerySet[ScheduledEvent]:
    """Return the event that waits under this company, type and key: one row or none."""
    name = event if isinstance(event, str) else type_of(event).name
    return ScheduledEvent.objects.filter(company=company, type=name, key=key)


def cancel(rows: QuerySet[ScheduledEvent]) -> int:
    """Take back those of the rows that still wait; return how many did."""
    return rows.delete()[0]


def move(ids: Collection[UUID], *, moment: Moment) -> int:
    """Give those that still wait another time; return how many did. Raises CannotSchedule."""
    if not ids:
        return 0
    moved = fetch(MOVE, {"ids": list(ids), **moment.parameters})
    if not moved and ScheduledEvent.objects.filter(pk__in=ids).exists():
        raise moment.too_far()
    return len(moved)


def fire_due(*, now: datetime | None = None, limit: int = 1000) -> int:
    """Publish the events whose time has come, the earliest first; return how many. `now` is for
    tests.
    """
    # Not prepared: a session keeps the plan it made first, of a table that was empty then, a scan.
    return execute(FIRE, [now, limit])
