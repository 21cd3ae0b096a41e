"""What waits in the outbox: how much, since when, what is next, and who reads. Changes nothing."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import connection

from subscriptions import partitions, unroutable
from subscriptions.cursor import READABLE_COLUMNS
from subscriptions.envelope import Envelope
from subscriptions.partitions import KEYS
from subscriptions.shards import BEGINNING, LOCK_CLASS, MOST, Share
from subscriptions.statements import fetch
from subscriptions.unroutable import Unroutable

COUNTED = 1_000_000  # events of a shard; of more it is said only that there are more
NEXT = 10

# The unread of each cursor, in the two ranges that the relay reads; without a cursor, everything.
UNREAD = f"""
WITH cursors AS (
    SELECT shard, shards, seen, reading, last_seq, earlier FROM event_system_relay_cursor
    UNION ALL
    SELECT 0, 1, '{BEGINNING}'::pg_snapshot, '{BEGINNING}'::pg_snapshot, 0, NULL
    WHERE NOT EXISTS (SELECT FROM event_system_relay_cursor))
SELECT {{columns}} FROM cursors c CROSS JOIN LATERAL (
    SELECT e.*, pg_visible_in_snapshot(e.xid, c.reading) AS is_next FROM (
        SELECT * FROM event_system_event WHERE xid >= pg_snapshot_xmax(c.seen)
        UNION ALL
        SELECT * FROM event_system_event WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip(c.seen)))
    ) AS e
    WHERE e.shard %% c.shards = c.shard
        AND NOT (pg_visible_in_snapshot(e.xid, c.reading) AND e.seq <= c.last_seq)
        AND NOT EXISTS (
            SELECT FROM jsonb_to_recordset(c.earlier) AS o (shard integer, shards integer,
                seen pg_snapshot, reading pg_snapshot, last_seq bigint)
            WHERE e.shard %% o.shards = o.shard AND (
                pg_visible_in_snapshot(e.xid, o.seen)
                OR (pg_visible_in_snapshot(e.xid, o.reading) AND e.seq <= o.last_seq)))
    {{rest}}) AS e
"""  # noqa: S608 - constants

# A time that is not here yet, or none of Python's, was written by hand: it says nothing of a lag.
OLDEST = (
    "min(e.recorded_at) FILTER (WHERE e.recorded_at BETWEEN '0001-01-02Z' AND clock_timestamp())"
)
DEPTH = (
    UNREAD.format(
        columns=f"c.shard, count(e.seq), {OLDEST}, clock_timestamp() - {OLDEST}",
        rest="LIMIT %(counted)s",
    )
    + "GROUP BY c.shard"
)
COMING = (
    UNREAD.format(columns=READABLE_COLUMNS, rest="ORDER BY is_next DESC, e.seq LIMIT %(next)s")
    + "ORDER BY e.is_next DESC, e.seq LIMIT %(next)s"
)

CURSORS = """
SELECT c.shard, c.shards, c.moved_at, EXISTS (
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND d.datname = current_database() AND l.granted
        AND l.classid::bigint = %s AND l.objid::bigint = c.shards * %s + c.shard)
FROM event_system_relay_cursor c ORDER BY c.shard
"""


@dataclass(frozen=True)
class Reader:
    """A cursor: its share, when it moved last, whether a relay leads it, and what it has to read.

    `unread` is counted up to a million.
    """

    share: Share
    moved_at: datetime | None
    is_led: bool
    unread: int
    oldest_at: datetime | None
    lag: timedelta


@dataclass(frozen=True)
class Backlog:
    """The outbox as a whole: `lag` is the age of the oldest unread event."""

    readers: list[Reader]
    in_default: dict[str, int]  # rows that have no partition of their day, by table
    days: dict[str, list[date]]  # that have a partition, by table
    unroutable: Unroutable

    @property
    def unread(self) -> int:
        return sum(reader.unread for reader in self.readers)

    @property
    def lag(self) -> timedelta:
        return max((reader.lag for reader in self.readers), default=timedelta())

    @property
    def oldest_at(self) -> datetime | None:
        return min((r.oldest_at for r in self.readers if r.oldest_at is not None), default=None)


def measure() -> Backlog:
    """Look at cursors, unread events, DEFAULT partitions and days: eight queries.

    Rows in DEFAULT are counted one by one; there should be none.
    """
    return Backlog(readers(), in_default(), partitions.days(), unroutable.found())


def readers() -> list[Reader]:
    """Return how each cursor stands; one that nobody made yet has the whole outbox to read."""
    unread = {row[0]: row[1:] for row in fetch(DEPTH, {"counted": COUNTED})}
    found = fetch(CURSORS, [LOCK_CLASS, MOST]) or [(0, 1, None, False)]
    made = []
    for shard, shards, moved_at, is_led in found:
        count, oldest_at, lag = unread.get(shard, (0, None, timedelta()))
        made.append(
            Reader(Share(shard, shards), moved_at, is_led, count, oldest_at, lag or timedelta())
        )
    return made


def in_default() -> dict[str, int]:
    """Return how many rows have no partition of their day, by table. One query."""
    counts = ", ".join(f"(SELECT count(*) FROM {table}_default)" for table in KEYS)  # noqa: S608 - ours
    [row] = fetch(f"SELECT {counts}", [])
    return dict(zip(KEYS, row, strict=True))


def coming(limit: int = NEXT) -> list[Envelope]:
    """Return the next events that relays will read, without touching them."""
    with connection.cursor() as cursor:
        cursor.execute(COMING, {"next": limit})
        return [Envelope(*row) for row in cursor.fetchall()]
