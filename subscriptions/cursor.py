"""The relay's place in the outbox: the difference of two snapshots, read in the order of `seq`.

`seen` is the snapshot whose events have all been read, `reading` the one being read, `last_seq`
how far. An event belongs to the present page if it is visible in `reading` and was not in `seen`.
Reading by `seq > last` would lose what commits late; waiting for the oldest transaction of the
cluster would stop all events for one writer's sake.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.db import connection

from subscriptions.envelope import Envelope
from subscriptions.shards import IS_READ, SYSTEM_IDENTIFIER, WHOLE, Share, lay_out
from subscriptions.statements import fetch_prepared

# Nobody need wait for the disk: a crash that loses the transaction loses the cursor's move and all
# that came of it together, and what is recorded later about one of its deliveries is flushed later.
LOCK = f"""
SELECT seen::text, reading::text, last_seq, earlier::text,
    set_config('synchronous_commit', 'off', true)
FROM event_system_relay_cursor
WHERE shard = %s AND shards = %s AND system_identifier = {SYSTEM_IDENTIFIER} FOR UPDATE
"""  # noqa: S608 - constants

COLUMNS = """e.seq, e.id, e.recorded_at, e."timestamp", e.source, e.company, e.type, e.version,
    e.payload::text, e."table", e.operation, e.record_id::text, e.new::text, e.old::text, e.key,
    e.correlation_id, e.depth"""


# PostgreSQL's times that Python has none for, as the nearest of these two: infinity, a year 294276.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def within(time: str) -> str:
    """Return the SQL of a time of the event `e` as one that Python has."""
    return f"GREATEST('0001-01-02Z', LEAST('9999-12-30Z', e.{time}))"


READABLE_COLUMNS = COLUMNS.replace("e.recorded_at", within("recorded_at")).replace(
    'e."timestamp"', within('"timestamp"')
)

LATER = "e.xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot)"
OPEN_THEN = "e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(seen)s::pg_snapshot)))"
OF_SHARD = "AND e.shard %% %(shards)s = %(shard)s"


def _range(columns: str, began: str, condition: str) -> str:
    return f"""
(SELECT {columns} FROM event_system_event e
 WHERE {began} AND pg_visible_in_snapshot(e.xid, %(reading)s::pg_snapshot) AND e.seq > %(last)s
     {condition}
 ORDER BY e.seq LIMIT %(limit)s)
"""  # noqa: S608 - constants


def _page(position: "Position", columns: str = COLUMNS) -> str:
    """Return the query of a page: the events after `seen` began, and those it saw in progress.

    Two index ranges instead of one OR, and the second only if `seen` saw any: with a partition for
    each day, planning takes longer than reading.
    """
    condition = OF_SHARD if position.share.shards > 1 else ""
    if position.earlier is not None:
        condition += f" AND NOT {IS_READ}"
    later = _range(columns, LATER, condition)
    if position.seen.endswith(":"):
        return later
    both = f"{later} UNION ALL {_range(columns, OPEN_THEN, condition)}"
    return f"SELECT * FROM ({both}) AS page ORDER BY 1 LIMIT %(limit)s"  # noqa: S608 - constants


SNAPSHOT = "SELECT pg_current_snapshot()::text"

# Read only, so no transaction id is spent on polling an idle system. Whatever the statistics say,
# ORDER BY with LIMIT 1 takes the index: one probe for what began after `seen`, one for each that
# it saw open.
IS_UNREAD = f"""
SELECT c.last_seq > 0 OR c.earlier IS NOT NULL OR c.shards <> %s
    OR c.system_identifier <> {SYSTEM_IDENTIFIER}
    OR COALESCE((SELECT e.xid FROM event_system_event e ORDER BY e.xid DESC LIMIT 1)
        >= pg_snapshot_xmax(c.seen), false)
    OR EXISTS (
        SELECT FROM pg_snapshot_xip(c.seen) AS open (xid) CROSS JOIN LATERAL (
            SELECT FROM event_system_event e WHERE e.xid = open.xid ORDER BY e.xid LIMIT 1) AS e)
FROM event_system_relay_cursor c WHERE c.shard = %s
"""  # noqa: S608 - constants

ADVANCE = """
UPDATE event_system_relay_cursor SET last_seq = %(seq)s,
    highest_seq = GREATEST(highest_seq, %(seq)s), moved_at = clock_timestamp()
WHERE shard = %(shard)s
"""

NEXT_SNAPSHOT = """
UPDATE event_system_relay_cursor SET seen = reading, reading = pg_current_snapshot(), last_seq = 0,
    highest_seq = GREATEST(highest_seq, %(seq)s), earlier = NULL, moved_at = clock_timestamp()
WHERE shard = %(shard)s
"""


@dataclass(frozen=True)
class Position:
    """Where a share's cursor stands; `earlier` is what was read before the shards changed."""

    share: Share
    seen: str
    reading: str
    last_seq: int
    earlier: str | None


class Glance:
    """Looks whether there is anything to read, without locking or writing.

    While no transaction has ended since a look that found nothing, there cannot be: then one query
    that reads no table.
    """

    def __init__(self, share: Share = WHOLE) -> None:
        self._share = share
        self._nothing_at: str | None = None

    def is_unread(self) -> bool:
        """One query, or two if something was committed anywhere in the cluster."""
        now = _one(SNAPSHOT)[0]
        if now == self._nothing_at:
            return False
        row = _one(IS_UNREAD, [self._share.shards, self._share.shard])
        if row is None or row[0] is not False:  # no cursor yet: from the beginning
            return True
        self._nothing_at = now
        return False


def hold(share: Share = WHOLE) -> Position:
    """Lock the share's cursor for this transaction and return where it stands; made if it is
    missing, of other shards or of another cluster. Raises ShardsInUse.
    """
    row = _one(LOCK, [share.shard, share.shards])
    if row is None:
        lay_out(share)
        row = _one(LOCK, [share.shard, share.shards])
    return Position(share, *row[:4])


def read_page(position: Position, *, limit: int, is_any_time_read: bool = False) -> list[Envelope]:
    """Return the next events in the order of `seq`; empty at the end of the snapshot.

    Raises DataError for a time that Python has no value for, unless such are read as the nearest.
    """
    columns = READABLE_COLUMNS if is_any_time_read else COLUMNS
    return [Envelope(*row) for row in _rows(position, columns, limit)]


def next_seq(position: Position) -> int | None:
    """Return the next event's `seq` alone, whatever else it holds; None at the snapshot's end."""
    return next((row[0] for row in _rows(position, "e.seq", 1)), None)


def _rows(position: Position, columns: str, limit: int) -> list[tuple[Any, ...]]:
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(
            _page(position, columns),
            {
                "seen": position.seen,
                "reading": position.reading,
                "last": position.last_seq,
                "limit": limit,
                "shard": position.share.shard,
                "shards": position.share.shards,
                "earlier": position.earlier,
            },
            prepare=False,
            binary=True,  # Django's loader takes a time from text, in Python
        )
        return cursor.fetchall()


def advance(last_seq: int, share: Share = WHOLE) -> None:
    """Note that the events up to `last_seq` of the present snapshot have been read."""
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE, {"seq": last_seq, "shard": share.shard})


def next_snapshot(share: Share = WHOLE, *, last_seq: int = 0) -> None:
    """Note that the present snapshot has been read to its end, its last events up to `last_seq`,
    and begin with the one of now.
    """
    with connection.cursor() as cursor:
        cursor.execute(NEXT_SNAPSHOT, {"seq": last_seq, "shard": share.shard})


def _one(statement: str, parameters: Any = ()) -> Any:
    return next(iter(fetch_prepared(statement, parameters)), None)
