"""The days of the outbox, of deliveries and of attempts: partitions, made ahead of their time.

Nothing here waits in front of writers: each lock is asked for with a short time-out, and what did
not get it is tried again at the relay's next turn. A day is one of UTC, by the database's clock.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial

import structlog
from django.db import IntegrityError, OperationalError, connection
from psycopg.errors import LockNotAvailable, QueryCanceled

log = structlog.get_logger(__name__)

EVENT, DELIVERY = "event_system_event", "event_system_delivery"
ATTEMPT = "event_system_delivery_attempt"
KEYS = {EVENT: "recorded_at", DELIVERY: "event_at", ATTEMPT: "started_at"}

LOCK_TIMEOUT = "50ms"
SMALL_DEFAULT = 16 * 1024 * 1024  # bytes; so much is looked through in some milliseconds
HOLE = "event_system_hole"

PRESENT = """
SELECT p.relname, to_date(right(c.relname, 8), 'YYYYMMDD')
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE p.oid = ANY (%s::regclass[]) AND c.relname ~ '_[0-9]{8}$'
ORDER BY 2, 1
"""


@dataclass(frozen=True)
class Span:
    """From `begin` to before `end`; `begin` is None for what DEFAULT holds of all that time."""

    begin: date | None
    end: date

    @property
    def bounds(self) -> dict[str, str]:
        begin = "-infinity" if self.begin is None else f"{self.begin} 00:00+00"
        return {"begin": begin, "end": f"{self.end} 00:00+00"}

    def partition(self, table: str) -> str:
        return f"{table}_default" if self.begin is None else f"{table}_{self.begin:%Y%m%d}"


def today() -> date:
    """Return the database's day, in UTC. One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date")
        row = cursor.fetchone()
    found: date = row[0]
    return found


def days() -> dict[str, list[date]]:
    """Return the days that have a partition, by table, oldest first. One query."""
    found: dict[str, list[date]] = {table: [] for table in KEYS}
    with connection.cursor() as cursor:
        cursor.execute(PRESENT, [list(KEYS)])
        for table, day in cursor.fetchall():
            found[table].append(day)
    return found


def make_ahead(ahead: int) -> int:
    """Make what is missing of today's partitions and of `ahead` days after; return how many.

    A day that has rows in DEFAULT stays there.
    """
    present, first = days(), today()
    wanted = [first + timedelta(days=n) for n in range(ahead + 1)]
    made = 0
    for table in KEYS:
        unless_locked(partial(_close_hole, table))
        for day in (day for day in wanted if day not in present[table]):
            made += unless_locked(partial(_make, table, day, day > first))
    if made:
        log.info("partitions_made", count=made)
    return made


def _make(table: str, day: date, is_future: bool) -> bool:
    if is_future and _default_size(table) > SMALL_DEFAULT:
        return _make_beside_many(table, day)
    with connection.cursor() as cursor:
        cursor.execute("SELECT event_system_make_partition(%s, %s)", [table, day])
        return bool(cursor.fetchone()[0])


def _make_beside_many(table: str, day: date) -> bool:
    """Make a coming day's partition without locking a large DEFAULT while it is looked through.

    A constraint that is checked without a lock says that DEFAULT has no row of that day, so that
    ATTACH need not look. It stands for a moment, and for a day on which nobody writes yet: should
    the relay die meanwhile, its next turn takes it away.
    """
    span, column = Span(day, day + timedelta(days=1)), KEYS[table]
    with connection.cursor() as cursor:
        cursor.execute(
            f"ALTER TABLE {table}_default ADD CONSTRAINT {HOLE} CHECK ({column} <"
            f" '{span.bounds['begin']}' OR {column} >= '{span.bounds['end']}') NOT VALID"
        )
        try:
            cursor.execute(f"ALTER TABLE {table}_default VALIDATE CONSTRAINT {HOLE}")
            cursor.execute("SELECT event_system_make_partition(%s, %s)", [table, day])
            return bool(cursor.fetchone()[0])
        except IntegrityError:  # it has such rows
            return False
        finally:
            _close_hole(table)


def _close_hole(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s",
            [f"{table}_default", HOLE],
        )
        if cursor.fetchone() is None:
            return False
        cursor.execute(f"ALTER TABLE {table}_default DROP CONSTRAINT {HOLE}")
    return True


def _default_size(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s::regclass)", [f"{table}_default"])
        row = cursor.fetchone()
    return int(row[0])


def unless_locked(work: Callable[[], int | bool]) -> int:
    """Return what the work did, 0 if any of its statements would have had to wait: it is tried
    again. Not for use inside a transaction.
    """
    try:
        with _impatient():
            return int(work())
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable | QueryCanceled):
            raise
        log.debug("partition_in_use", error=str(error).strip())
        return 0


@contextmanager
def _impatient() -> Iterator[None]:
    """Let no statement wait long for a lock: reading waits, too, where somebody alters a table."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
        try:
            yield
        finally:
            cursor.execute("RESET lock_timeout")
