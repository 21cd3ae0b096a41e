"""Who gets which event, and the deliveries of it: a page's in one statement.

What stands for an event or a subscription is sent once, and a delivery as two numbers: at a fan-out
of twenty, rows of text would cost more than the matching.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import psycopg
import structlog
from django.conf import settings
from django.db import IntegrityError, connection
from psycopg.errors import UniqueViolation

from subscriptions.envelope import Envelope
from subscriptions.errors import AlreadyRouted
from subscriptions.handing import Waiting
from subscriptions.matching import Matcher, Target
from subscriptions.models import Delivery

log = structlog.get_logger(__name__)

DEEPEST = 10

# A subscription's are inserted in the order of the matches, which their ids keep; one subscription
# after the other, because an index by subscription takes neighbours in half the time that it takes
# what is strewn. Numbers count from 1, as ORDINALITY.
# What waits comes back as two arrays: a row for each would take Python as long as the matching.
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
    FROM unnest(%(events)s::integer[], %(targets)s::bigint[])
        WITH ORDINALITY AS m (event, target, number)
    JOIN unnest(%(seqs)s::bigint[], %(ids)s::uuid[], %(times)s::timestamptz[],
        %(companies)s::text[], %(record_keys)s::text[])
        WITH ORDINALITY AS e (seq, id, at, company, record_key, number)
        ON e.number = m.event
    JOIN unnest(%(subscriptions)s::bigint[], %(handler_types)s::text[], %(by_record)s::boolean[],
        %(debounces)s::interval[]) AS t (id, handler_type, is_by_record, debounce)
        ON t.id = m.target
    LEFT JOIN unnest(%(others)s::bigint[], %(statuses)s::text[], %(errors)s::text[])
        AS o (number, status, error) ON o.number = m.number
    ORDER BY m.target, m.number
    {conflict}
    RETURNING id, subscription_id, status, record_key
)
SELECT array_agg(id), array_agg(subscription_id) FROM made
WHERE status = 'pending'
    AND (record_key IS NULL OR subscription_id <> ALL (%(debounced)s::bigint[]))
"""
# Looking for each whether it is there costs a quarter of the insert.
INSERT_NEW = INSERT.format(conflict="")
INSERT_MISSING = INSERT.format(
    conflict="ON CONFLICT (event_seq, subscription_id, event_at) DO NOTHING"
)


class Match(NamedTuple):
    """An event and who gets it; `problem` says why their filters could not be asked."""

    event: Envelope
    targets: Sequence[Target]
    problem: str = ""


def matched(matcher: Matcher, events: Iterable[Envelope]) -> list[Match]:
    """Return who gets the events, in their order; those without a receiver are left out."""
    found: list[Match] = []
    for event in events:
        try:
            if targets := matcher.match(event):
                found.append(Match(event, targets))
        except Exception as error:
            # json columns hold what Python's parser refuses: nested beyond its stack, say. One
            # such event must not stop all others; whose filter it leaves open sees a dead delivery.
            log.exception("event_unmatched", event_id=str(event.id))
            problem = f"the filter cannot examine the event: {type(error).__name__}: {error}"[:500]
            found += [
                Match(event, [target], problem if target.filter else "")
                for target in matcher.addressed(event)
            ]
    return found


def insert_deliveries(matches: Sequence[Match]) -> list[Waiting]:
    """Insert the deliveries in one statement; return those that wait for a worker.

    A debounced one gets no message: the sweep sends it when its time has come.
    """
    return insert_in_turn([matches])


def insert_in_turn(parts: Iterable[Sequence[Match]], *, are_new: bool = False) -> list[Waiting]:
    """Insert the deliveries of each part, in a transaction, while the next part is made.

    Those that are there already are left alone, or, of parts said to be new, raise AlreadyRouted.
    """
    insert = INSERT_NEW if are_new else INSERT_MISSING
    made = []
    try:
        with connection.wrap_database_errors, connection.connection.pipeline():
            for matches in parts:
                if matches:
                    targets = {target.id: target for match in matches for target in match.targets}
                    cursor = psycopg.Cursor(connection.connection)
                    given = _parameters(matches, targets)
                    made.append(
                        (targets, cursor.execute(insert, given, prepare=False, binary=True))
                    )
        with connection.wrap_database_errors:
            found = [(targets, cursor.fetchall()[0]) for targets, cursor in made]
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        raise AlreadyRouted from error
    return [one for targets, row in found for one in _waiting(targets, *row)]


def _waiting(
    targets: Mapping[int, Target], ids: list[int] | None, receivers: list[int] | None
) -> list[Waiting]:
    """Return the deliveries of each subscription."""
    by_target: defaultdict[int, list[int]] = defaultdict(list)
    for delivery_id, target_id in zip(ids or (), receivers or (), strict=True):
        by_target[target_id].append(delivery_id)
    return [Waiting(targets[pk].handler_type, pk, found) for pk, found in by_target.items()]


def _parameters(matches: Sequence[Match], targets: Mapping[int, Target]) -> dict[str, Any]:
    events = {match.event.seq: match.event for match in matches}
    by_record = {target.id for target in targets.values() if target.is_by_record}
    numbers = {seq: number for number, seq in enumerate(events, 1)}
    others = _others(matches, targets)
    return {
        "resend": settings.DELIVERY_RESEND_AFTER,
        "events": _array(
            ",".join([str(numbers[match.event.seq])] * len(match.targets)) for match in matches
        ),
        "targets": _array([target.id for match in matches for target in match.targets]),
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


def _others(
    matches: Sequence[Match], targets: Mapping[int, Target]
) -> list[tuple[int, Delivery.Status, str]]:
    """Return number, status and error of the deliveries that nobody is to make now: rarely any."""
    has_paused = any(target.is_paused for target in targets.values())
    if not has_paused and not any(one.problem or one.event.depth > DEEPEST for one in matches):
        return []
    pairs = ((match, target) for match in matches for target in match.targets)
    found = ((number, _state(*pair)) for number, pair in enumerate(pairs, 1))
    return [(number, *state) for number, state in found if state is not None]


def _state(match: Match, target: Target) -> tuple[Delivery.Status, str] | None:
    """Return status and error of a delivery that nobody is to make now."""
    if match.problem:
        return Delivery.Status.DEAD, match.problem
    if match.event.depth > DEEPEST:
        return Delivery.Status.BLOCKED, f"the chain of events is longer than {DEEPEST}"
    return (Delivery.Status.HELD, "") if target.is_paused else None
