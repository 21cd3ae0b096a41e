"""The relay's place in the outbox: the difference of two snapshots, read in the order of `seq`.

`seen` is the snapshot whose events have all been read, `reading` the one being read, `last_seq`
how far. An event belongs to the present page if it is visible in `reading` and was not in `seen`.
Reading by `seq > last` would lose what commits late; waiting for the oldest transaction of the
cluster would stop all events for one writer's sake.
"""

from dataclasses import dataclass

from django.db import connection

from subscriptions.envelope import Envelope

SYSTEM_IDENTIFIER = "(SELECT system_identifier FROM pg_control_system())"
# From the beginning of the outbox: a transaction id below every real one.
BEGINNING = "1:1:"

CREATE = f"""
INSERT INTO event_system_relay_cursor (shard, seen, reading, system_identifier)
VALUES (%s, '{BEGINNING}', pg_current_snapshot(), {SYSTEM_IDENTIFIER})
ON CONFLICT (shard) DO NOTHING
"""  # noqa: S608 - constants

LOCK = f"""
SELECT seen::text, reading::text, last_seq, system_identifier = {SYSTEM_IDENTIFIER}
FROM event_system_relay_cursor WHERE shard = %s FOR UPDATE
"""  # noqa: S608 - constants

COLUMNS = """e.seq, e.id, e.recorded_at, e."timestamp", e.source, e.company, e.type, e.version,
    e.payload::text, e."table", e.operation, e.record_id::text, e.new::text, e.old::text, e.key,
    e.correlation_id, e.depth"""

# Two index ranges instead of one OR: the events after `seen` began, and those it saw in progress.
PAGE = f"""
SELECT * FROM (
    (SELECT {COLUMNS} FROM event_system_event e
     WHERE e.xid >= pg_snapshot_xmax(%(seen)s::pg_snapshot)
         AND pg_visible_in_snapshot(e.xid, %(reading)s::pg_snapshot) AND e.seq > %(last)s
     ORDER BY e.seq LIMIT %(limit)s)
    UNION ALL
    (SELECT {COLUMNS} FROM event_system_event e
     WHERE e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(%(seen)s::pg_snapshot)))
         AND pg_visible_in_snapshot(e.xid, %(reading)s::pg_snapshot) AND e.seq > %(last)s
     ORDER BY e.seq LIMIT %(limit)s)
) AS page ORDER BY 1 LIMIT %(limit)s
"""  # noqa: S608 - constants

# Read only, so no transaction id is spent on polling an idle system. Whatever the statistics say,
# ORDER BY with LIMIT 1 takes the index: one probe for what began after `seen`, one for each that
# it saw open.
IS_UNREAD = """
SELECT c.last_seq > 0
    OR c.system_identifier <> (SELECT system_identifier FROM pg_control_system())
    OR (SELECT e.xid FROM event_system_event e ORDER BY e.xid DESC LIMIT 1)
        >= pg_snapshot_xmax(c.seen)
    OR EXISTS (
        SELECT FROM pg_snapshot_xip(c.seen) AS open (xid) CROSS JOIN LATERAL (
            SELECT FROM event_system_event e WHERE e.xid = open.xid ORDER BY e.xid LIMIT 1) AS e)
FROM event_system_relay_cursor c WHERE c.shard = %s
"""

ADVANCE = """
UPDATE event_system_relay_cursor SET last_seq = %s, moved_at = clock_timestamp() WHERE shard = %s
"""

NEXT_SNAPSHOT = """
UPDATE event_system_relay_cursor
SET seen = reading, reading = pg_current_snapshot(), last_seq = 0, moved_at = clock_timestamp()
WHERE shard = %s
"""


@dataclass(frozen=True)
class Position:
    seen: str
    reading: str
    last_seq: int


def is_unread(shard: int = 0) -> bool:
    """Whether there is anything to read, without locking or writing. One query."""
    with connection.cursor() as cursor:
        cursor.execute(IS_UNREAD, [shard])
        row = cursor.fetchone()
    return row is None or row[0] is not False  # no cursor yet: from the beginning


def hold(shard: int = 0) -> Position:
    """Lock the shard's cursor for this transaction and return where it stands; made if it is
    missing.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOCK, [shard])
        row = cursor.fetchone()
        if row is None:
            cursor.execute(CREATE, [shard])
            cursor.execute(LOCK, [shard])
            row = cursor.fetchone()
        seen, reading, last_seq, is_same_cluster = row
        if is_same_cluster:
            return Position(seen, reading, last_seq)
        _rebase(shard, Position(seen, reading, last_seq))
        cursor.execute(LOCK, [shard])
        seen, reading, last_seq, _ = cursor.fetchone()
        return Position(seen, reading, last_seq)


def read_page(position: Position, *, limit: int) -> list[Envelope]:
    """Return the next events in the order of `seq`; empty at the end of the snapshot."""
    with connection.cursor() as cursor:
        cursor.execute(
            PAGE,
            {
                "seen": position.seen,
                "reading": position.reading,
                "last": position.last_seq,
                "limit": limit,
            },
        )
        return [Envelope(*row) for row in cursor.fetchall()]


def advance(last_seq: int, shard: int = 0) -> None:
    """Note that the events up to `last_seq` of the present snapshot have been read."""
    with connection.cursor() as cursor:
        cursor.execute(ADVANCE, [last_seq, shard])


def next_snapshot(shard: int = 0) -> None:
    """Note that the present snapshot has been read to its end, and begin with the one of now."""
    with connection.cursor() as cursor:
        cursor.execute(NEXT_SNAPSHOT, [shard])


def _rebase(shard: int, position: Position) -> None:
    """Carry the position into another cluster, whose transaction ids have nothing to do with the
    old ones.

    After a dump and restore. Events that were read get an id older than all; those that were not
    get this transaction's, which the snapshot taken here does not see yet. Rewrites the outbox
    once.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE event_system_event SET xid = CASE
                WHEN pg_visible_in_snapshot(xid, %(seen)s::pg_snapshot)
                    OR (pg_visible_in_snapshot(xid, %(reading)s::pg_snapshot) AND seq <= %(last)s)
                THEN '1'::xid8 ELSE pg_current_xact_id() END
            """,
            {
                "seen": position.seen,
                "reading": position.reading,
                "last": position.last_seq,
            },
        )
        cursor.execute(
            f"""
            UPDATE event_system_relay_cursor SET seen = pg_current_snapshot(),
                reading = pg_current_snapshot(), last_seq = 0,
                system_identifier = {SYSTEM_IDENTIFIER}
            WHERE shard = %s
            """,  # noqa: S608 - constants
            [shard],
        )
