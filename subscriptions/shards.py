"""Which part of the outbox a relay reads: those events whose `shard` modulo `shards` is its own.

An event's `shard` is a hash of its company, 0 to 1023. How many relays share the outbox is written
into the cursors. When that changes, each new cursor begins where the least advanced old one was,
and leaves out what the old ones had read: no event is lost, none is read twice.
"""

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection

from subscriptions.errors import ShardsInUse

MOST = 1024
LOCK_CLASS = 0x7265_6C61  # "rela": the namespace of these advisory locks
LAYING_OUT = 0  # no shard's key

SYSTEM_IDENTIFIER = "(SELECT system_identifier FROM pg_control_system())"
# From the beginning of the outbox: a transaction id below every real one.
BEGINNING = "1:1:"

# The least advanced first: later snapshots end later, or see less in progress.
CURSORS = f"""
SELECT shard, shards, seen::text, reading::text, last_seq, earlier,
    system_identifier = {SYSTEM_IDENTIFIER}, highest_seq
FROM event_system_relay_cursor
ORDER BY pg_snapshot_xmax(seen), (SELECT count(*) FROM pg_snapshot_xip(seen)) DESC
FOR UPDATE
"""  # noqa: S608 - constants

CREATE = f"""
INSERT INTO event_system_relay_cursor
    (shard, shards, seen, reading, highest_seq, system_identifier, earlier)
SELECT n, %(shards)s, %(seen)s, pg_current_snapshot(), %(highest)s, {SYSTEM_IDENTIFIER}, %(earlier)s
FROM generate_series(0, %(shards)s - 1) AS n
"""  # noqa: S608 - constants

# What cursors have read, theirs and those before a change of shards.
IS_READ = """
EXISTS (
    SELECT FROM jsonb_to_recordset(%(earlier)s::jsonb) AS o
        (shard integer, shards integer, seen pg_snapshot, reading pg_snapshot, last_seq bigint)
    WHERE e.shard %% o.shards = o.shard AND (
        pg_visible_in_snapshot(e.xid, o.seen)
        OR (pg_visible_in_snapshot(e.xid, o.reading) AND e.seq <= o.last_seq)))
"""

# Of another cluster's transaction ids nothing is left: what was read gets one that every snapshot
# sees, what was not the next one, which no real transaction has either and REBASED does not see.
# Whoever commits meanwhile has an id of this cluster, unread by REBASED as well. The ids of the two
# clusters overlap: what was written here since the restore could look like something read there,
# but for its place in the outbox and its time. In doubt an event is read again: it has its
# deliveries once all the same.
REBASED = "2:2:"
REBASE_EVENTS = f"""
UPDATE event_system_event e
SET xid = CASE WHEN e.seq <= (SELECT max(highest_seq) FROM event_system_relay_cursor)
    AND e.recorded_at <= (SELECT max(moved_at) FROM event_system_relay_cursor)
    AND {IS_READ} THEN '1'::xid8 ELSE '2'::xid8 END
"""  # noqa: S608 - constants
REBASE_CURSORS = f"""
UPDATE event_system_relay_cursor SET seen = '{REBASED}', reading = pg_current_snapshot(),
    last_seq = 0, earlier = NULL, system_identifier = {SYSTEM_IDENTIFIER}
"""  # noqa: S608 - constants


# Without a cursor all is unread, also what has an id that this cluster has not come to: restored
# without its cursor, it would stay invisible until it has.
UNREAD_EVENTS = """
UPDATE event_system_event SET xid = '2' WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
"""


@dataclass(frozen=True)
class Share:
    """The part of one relay: `shard` of `shards`."""

    shard: int = 0
    shards: int = 1

    def __post_init__(self) -> None:
        if not (1 <= self.shards <= MOST and 0 <= self.shard < self.shards):
            raise ValueError(
                f"shard {self.shard} of {self.shards}: there may be 1 to {MOST} shards,"
                " numbered from 0"
            )

    @property
    def lock(self) -> tuple[int, int]:
        """The advisory lock of who leads it, another one for each number of shards."""
        return LOCK_CLASS, self.shards * MOST + self.shard


WHOLE = Share()


def lay_out(share: Share) -> None:
    """Make the cursors of these shards, or carry them into this cluster; in a transaction.

    Raises ShardsInUse while a relay of another number of shards runs. After a dump and restore it
    rewrites the outbox once.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK_CLASS, LAYING_OUT])
        cursor.execute(CURSORS)
        rows = cursor.fetchall()
        for shards in {row[1] for row in rows} - {share.shards}:
            _require_unused(shards)
        read = _read_by(rows)
        if not all(row[6] for row in rows):
            cursor.execute(REBASE_EVENTS, {"earlier": json.dumps(read)})
            cursor.execute(REBASE_CURSORS)
            cursor.execute(CURSORS)
            rows = cursor.fetchall()
            read = _read_by(rows)
        if not rows:
            cursor.execute(UNREAD_EVENTS)
        if [row[1] for row in rows] == [share.shards] * share.shards:
            return
        cursor.execute("DELETE FROM event_system_relay_cursor")
        cursor.execute(
            CREATE,
            {
                "shards": share.shards,
                "seen": rows[0][2] if rows else BEGINNING,
                "earlier": json.dumps(read) if rows else None,
                "highest": max((row[7] for row in rows), default=0),
            },
        )


def _read_by(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Return what the cursors have read, and what was read before them, as IS_READ takes it."""
    names = ("shard", "shards", "seen", "reading", "last_seq")
    found = [dict(zip(names, row, strict=False)) for row in rows]
    before = next((row[5] for row in rows if row[5] is not None), None)
    if isinstance(before, str):
        before = json.loads(before)
    return found + (before or [])


def _require_unused(shards: int) -> None:
    """Raise ShardsInUse if a relay leads one of so many shards; until the commit none can."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT bool_and(pg_try_advisory_xact_lock(%s, %s + n))"
            " FROM generate_series(0, %s - 1) AS n",
            [LOCK_CLASS, shards * MOST, shards],
        )
        row = cursor.fetchone()
    if not row[0]:
        raise ShardsInUse(shards)
