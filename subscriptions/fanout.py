"""Who gets which event, and the deliveries of it: a page's in one statement.

What stands for an event or a subscription is sent once, and a delivery as two numbers: at a fan-out
of twenty, rows of text would cost more than the matching.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import psycopg
import structlog
from django.conf import settings
from django.db import connection

from subscriptions.envelope import Envelope
from subscriptions.handing import Waiting
from subscriptions.matching import Matcher, Target
from subscriptions.models import Delivery

log = structlog.get_logger(__name__)

DEEPEST = 10

# Inserted in the order of the matches, which their ids keep. Numbers count from 1, as ORDINALITY.
INSERT = """
WITH made AS (
    INSERT INTO event_system_delivery
        (event_seq, event_id, event_at, subscription_id, company, handler_type, status, error,
            record_key, due_at)
    SELECT e.seq, e.id, e.at, t.id, e.company, t.handler_type, COALESCE(o.status, 'pending'),
        COALESCE(o.error, ''), CASE WHEN t.is_by_record THEN e.record_key END,
        CASE WHEN o.status IS NULL THEN clock_timestamp() + CASE
            WHEN t.is_by_record AND e.record_key IS NOT NULL
            THEN COALESCE(t.debounce, %(resend)s::interval)
            ELSE %(resend)s::interval END END
    FROM unnest(%(events)s::integer[], %(targets)s::integer[])
        WITH ORDINALITY AS m (event, target, number)
    JOIN unnest(%(seqs)s::bigint[], %(ids)s::uuid[], %(times)s::timestamptz[],
        %(companies)s::text[], %(record_keys)s::text[])
        WITH ORDINALITY AS e (seq, id, at, company, record_key, number)
        ON e.number = m.event
    JOIN unnest(%(subscriptions)s::bigint[], %(handler_types)s::text[], %(by_record)s::boolean[],
        %(debounces)s::interval[])
        WITH ORDINALITY AS t (id, handler_type, is_by_record, debounce, number)
        ON t.number = m.target
    LEFT JOIN unnest(%(others)s::bigint[], %(statuses)s::text[], %(errors)s::text[])
        AS o (number, status, error) ON o.number = m.number
    ORDER BY m.number
    ON CONFLICT (event_seq, subscription_id, event_at) DO NOTHING
    RETURNING id, handler_type, subscription_id, status, record_key
)
SELECT id, handler_type, subscription_id FROM made
WHERE status = 'pending'
    AND (record_key IS NULL OR subscription_id <> ALL (%(debounced)s::bigint[]))
ORDER BY id
"""


class Match(NamedTuple):
    """An event and who gets it; `problem` says why its filter could not be asked."""

    event: Envelope
    target: Target
    problem: str = ""


def matched(matcher: Matcher, events: Iterable[Envelope]) -> list[Match]:
    """Return who gets the events, in their order."""
    found: list[Match] = []
    for event in events:
        try:
            found += [Match(event, target) for target in matcher.match(event)]
        except Exception as error:
            # json columns hold what Python's parser refuses: nested beyond its stack, say. One
            # such event must not stop all others; whose filter it leaves open sees a dead delivery.
            log.exception("event_unmatched", event_id=str(event.id))
            problem = f"the filter cannot examine the event: {type(error).__name__}: {error}"[:500]
            found += [
                Match(event, target, problem if target.filter else "")
                for target in matcher.addressed(event)
            ]
    return found


def insert_deliveries(matches: Sequence[Match]) -> list[Waiting]:
    """Insert the deliveries in one statement; return those that wait for a worker.

    A debounced one gets no message: the sweep sends it when its time has come.
    """
    return insert_in_turn([matches])


def insert_in_turn(parts: Iterable[Sequence[Match]]) -> list[Waiting]:
    """Insert the deliveries of each part, in a transaction, while the next part is made."""
    made = []
    with connection.wrap_database_errors, connection.connection.pipeline():
        for matches in parts:
            if matches:
                cursor = psycopg.Cursor(connection.connection)
                made.append(cursor.execute(INSERT, _parameters(matches), prepare=False))
    with connection.wrap_database_errors:
        return [Waiting._make(row) for cursor in made for row in cursor.fetchall()]


def _parameters(matches: Sequence[Match]) -> dict[str, Any]:
    events = {match.event.seq: match.event for match in matches}
    targets = {match.target.id: match.target for match in matches}
    by_record = {target.id for target in targets.values() if target.is_by_record}
    event_numbers = {seq: number for number, seq in enumerate(events, 1)}
    target_numbers = {pk: number for number, pk in enumerate(targets, 1)}
    others = [
        (number, *_state(match))
        for number, match in enumerate(matches, 1)
        if match.problem or match.event.depth > DEEPEST or match.target.is_paused
    ]
    return {
        "resend": settings.DELIVERY_RESEND_AFTER,
        "events": _array(event_numbers[match.event.seq] for match in matches),
        "targets": _array(target_numbers[match.target.id] for match in matches),
        "seqs": _array(events),
        "ids": _array(event.id for event in events.values()),
        "times": _array(event.recorded_at.isoformat() for event in events.values()),
        "companies": [event.company for event in events.values()],
        "record_keys": [event.record_key if by_record else None for event in events.values()],
        "subscriptions": _array(targets),
        "handler_types": [target.handler_type for target in targets.values()],
        "by_record": [target.id in by_record for target in targets.values()],
        "debounces": [target.debounce or None for target in targets.values()],
        "others": [number for number, _, _ in others],
        "statuses": [str(status) for _, status, _ in others],
        "errors": [error for _, _, error in others],
        "debounced": [target.id for target in targets.values() if target.debounce],
    }


def _array(values: Iterable[object]) -> str:
    """Return the text of an array of numbers, UUIDs or times; psycopg would look at each one."""
    return "{" + ",".join(map(str, values)) + "}"


def _state(match: Match) -> tuple[str, str]:
    """Return status and error of a delivery that nobody is to make now."""
    if match.problem:
        return Delivery.Status.DEAD, match.problem
    if match.event.depth > DEEPEST:
        return Delivery.Status.BLOCKED, f"the chain of events is longer than {DEEPEST}"
    return Delivery.Status.HELD, ""
