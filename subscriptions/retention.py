"""What becomes of old events, deliveries and attempts: their days are emptied, whole.

Only when nobody needs them any more, and without anybody waiting: see `subscriptions.partitions`.
"""

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from functools import partial

import structlog
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from subscriptions import unroutable
from subscriptions.partitions import (
    ATTEMPT,
    DELIVERY,
    EVENT,
    KEYS,
    Span,
    days,
    today,
    unless_locked,
)

log = structlog.get_logger(__name__)

STATEMENT_TIMEOUT = "2s"  # while a lock is held

# What some cursor has still to read between two times. In two index ranges, as the relay reads;
# nothing is certain without a cursor, or with one of another cluster.
UNREAD = """
SELECT NOT EXISTS (SELECT FROM event_system_relay_cursor)
    OR EXISTS (
        SELECT FROM event_system_relay_cursor c WHERE c.system_identifier <>
            (SELECT system_identifier FROM pg_control_system()))
    OR EXISTS (
        SELECT FROM event_system_relay_cursor c CROSS JOIN LATERAL (
            SELECT e.xid, e.seq FROM event_system_event e
            WHERE e.recorded_at >= %(begin)s AND e.recorded_at < %(end)s
                AND e.xid >= pg_snapshot_xmax(c.seen) AND e.shard %% c.shards = c.shard
            UNION ALL
            SELECT e.xid, e.seq FROM event_system_event e
            WHERE e.recorded_at >= %(begin)s AND e.recorded_at < %(end)s
                AND e.xid = ANY (ARRAY(SELECT pg_snapshot_xip(c.seen)))
                AND e.shard %% c.shards = c.shard) AS e
        WHERE NOT (pg_visible_in_snapshot(e.xid, c.reading) AND e.seq <= c.last_seq))
"""

# Two conditions, because each has its partial index.
OPEN = """
SELECT EXISTS (SELECT FROM event_system_delivery WHERE event_at >= %(begin)s AND event_at < %(end)s
        AND status IN ('pending', 'running', 'retrying', 'waiting', 'queued'))
    OR EXISTS (SELECT FROM event_system_delivery WHERE event_at >= %(begin)s AND event_at < %(end)s
        AND status = 'held')
"""

# As above. The partitions of later days are left out when it is planned, and those before are empty
# but for what is still open: few, whose attempts are found by their index.
TRIED = """
SELECT FROM event_system_delivery d JOIN event_system_delivery_attempt a ON a.delivery_id = d.id
WHERE d.event_at < %(end)s AND a.started_at >= %(begin)s AND a.started_at < %(end)s
    AND (d.attempts > 0 OR d.generation > 1)
"""
OPEN_WITH_ATTEMPTS = f"""
SELECT EXISTS ({TRIED} AND d.status IN ('pending', 'running', 'retrying', 'waiting', 'queued'))
    OR EXISTS ({TRIED} AND d.status = 'held')
"""


def empty_past(keep: timedelta) -> int:
    """Empty what is older than `keep`, in whole days; return how many partitions were.

    A day of events goes with its deliveries, when every cursor has read it and none of them is
    open; a day of attempts when none of their deliveries is. An empty partition is dropped at a
    moment when nobody uses its table.
    """
    limit = today() - keep
    emptied = 0
    for table, tables in ((EVENT, (EVENT, DELIVERY)), (ATTEMPT, (ATTEMPT,))):
        is_past = _is_read_and_closed if table == EVENT else _is_of_closed_ones
        for span in _past_spans(tables, limit):
            emptied += unless_locked(partial(_empty, span, tables, is_past))
    _drop_past(limit)
    if emptied:
        unroutable.forget()
        log.info("partitions_emptied", count=emptied, before=limit.isoformat())
    return emptied


def _past_spans(tables: tuple[str, ...], limit: date) -> Iterator[Span]:
    """Yield the days before the limit that one of the tables has a partition of, then DEFAULT's."""
    present = days()
    found = {day for table in tables for day in present[table]}
    for day in sorted(day for day in found if day < limit):
        yield Span(day, day + timedelta(days=1))
    yield Span(None, limit)


def _empty(
    span: Span, tables: tuple[str, ...], is_past: Callable[[CursorWrapper, Span], bool]
) -> int:
    """Empty the tables' partitions of the span if that is allowed, and still is under the lock."""
    with connection.cursor() as cursor:
        filled = [table for table in tables if _has_rows(cursor, span.partition(table))]
        if not filled or not _is_over(cursor, span, filled) or not is_past(cursor, span):
            return 0
        names = ", ".join(span.partition(table) for table in filled)
        with transaction.atomic():
            cursor.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'")
            cursor.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE")
            if not _is_over(cursor, span, filled) or not is_past(cursor, span):
                return 0
            cursor.execute(f"TRUNCATE {names}")
    return len(filled)


def _has_rows(cursor: CursorWrapper, partition: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [partition])
    if not cursor.fetchone()[0]:
        return False
    cursor.execute(f"SELECT EXISTS (SELECT FROM {partition})")  # noqa: S608 - one of ours
    return bool(cursor.fetchone()[0])


def _is_over(cursor: CursorWrapper, span: Span, tables: list[str]) -> bool:
    """Whether all rows are of the span: DEFAULT's need not be."""
    if span.begin is not None:
        return True
    for table in tables:
        cursor.execute(
            f"SELECT EXISTS (SELECT FROM {table}_default WHERE {KEYS[table]} >= %s)",  # noqa: S608 - ours
            [span.bounds["end"]],
        )
        if cursor.fetchone()[0]:
            return False
    return True


def _is_read_and_closed(cursor: CursorWrapper, span: Span) -> bool:
    cursor.execute(UNREAD, span.bounds)
    if cursor.fetchone()[0]:
        return False
    cursor.execute(OPEN, span.bounds)
    return not cursor.fetchone()[0]


def _is_of_closed_ones(cursor: CursorWrapper, span: Span) -> bool:
    cursor.execute(OPEN_WITH_ATTEMPTS, span.bounds)
    return not cursor.fetchone()[0]


def _drop_past(limit: date) -> None:
    for table, found in days().items():
        for day in (day for day in found if day < limit):
            partition = Span(day, day + timedelta(days=1)).partition(table)
            if not unless_locked(partial(_drop, table, partition)):
                break


def _drop(table: str, partition: str) -> bool:
    """Drop an empty partition if nobody uses the table right now.

    It takes the whole table for a moment, so it does not even stand in line for that.
    """
    with connection.cursor() as cursor, transaction.atomic():
        cursor.execute(f"SELECT EXISTS (SELECT FROM {partition})")  # noqa: S608 - one of ours
        if cursor.fetchone()[0]:
            return True
        for name in (table, f"{table}_default", partition):
            cursor.execute(f"LOCK TABLE ONLY {name} IN ACCESS EXCLUSIVE MODE NOWAIT")
        cursor.execute(f"SELECT EXISTS (SELECT FROM {partition})")  # noqa: S608 - one of ours
        if not cursor.fetchone()[0]:
            cursor.execute(f"DROP TABLE {partition}")
    return True
