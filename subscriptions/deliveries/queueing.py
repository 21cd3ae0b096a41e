"""Deliveries that stand in a queue: called when their receiver has room, or is well again."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from subscriptions.deliveries.admission import NET
from subscriptions.deliveries.places import AHEAD
from subscriptions.statements import execute, execute_prepared, fetch, fetch_prepared

# Not those that have a place in a rate, or wait for one: they come when it is their turn.
CALL = """
UPDATE event_system_delivery d
SET status = 'pending', error = '', due_at = clock_timestamp() + %s
FROM (
    SELECT q.id, q.event_at FROM event_system_delivery q
    LEFT JOIN event_system_gate g ON g.subscription_id = q.subscription_id
    WHERE q.subscription_id = %s AND q.status = 'queued' AND q.slot_at IS NULL
        AND q.due_at IS NOT NULL AND g.open_until IS NULL
    ORDER BY q.event_seq LIMIT %s FOR NO KEY UPDATE OF q SKIP LOCKED) AS next
WHERE d.id = next.id AND d.event_at = next.event_at
RETURNING d.id
"""


LEFT_AT_ONCE = 1000  # of a subscription's queue

# In the order of their ids, as every statement locks them that takes several.
LEAVE = """
WITH mine AS (
    SELECT id, event_at FROM event_system_delivery WHERE id = ANY (%s) AND status = 'pending'
    ORDER BY id FOR NO KEY UPDATE)
UPDATE event_system_delivery d SET due_at = clock_timestamp()
FROM mine WHERE d.id = mine.id AND d.event_at = mine.event_at
"""

LEAVE_QUEUES = """
WITH mine AS (
    SELECT q.id, q.event_at FROM unnest(%s::bigint[]) AS s (id) CROSS JOIN LATERAL (
        SELECT id, event_at FROM event_system_delivery
        WHERE subscription_id = s.id AND status = 'queued' AND slot_at IS NULL
            AND due_at IS NOT NULL
        ORDER BY event_seq LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) AS q)
UPDATE event_system_delivery d SET due_at = clock_timestamp()
FROM mine WHERE d.id = mine.id AND d.event_at = mine.event_at
"""


# How many more places the rate of a subscription has, within the time for which they are given;
# NULL without a rate. Of one that is off or paused the claim makes canceled or held ones.
PLACES = """
CASE WHEN s.max_rate IS NOT NULL AND s.active AND s.paused_at IS NULL THEN
    LEAST(GREATEST(floor(s.max_rate * extract(epoch FROM %s::interval
        - GREATEST(g.next_at - clock_timestamp(), interval '0'))), 0), 1000000)::integer
END
"""


def _subscriptions_with(condition: str, *, unless: str) -> str:
    """Return a query for the subscriptions that have such deliveries, by a probe of the index each,
    and of which `unless` is not true; with the places of their rate.
    """
    return f"""
WITH RECURSIVE found AS (
    (SELECT subscription_id FROM event_system_delivery WHERE {condition}
     ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (SELECT d.subscription_id FROM event_system_delivery d
            WHERE {condition} AND d.subscription_id > found.subscription_id
            ORDER BY d.subscription_id LIMIT 1)
    FROM found WHERE found.subscription_id IS NOT NULL
)
SELECT found.subscription_id, {PLACES} FROM found
LEFT JOIN event_system_subscription s ON s.id = found.subscription_id
LEFT JOIN event_system_gate g ON g.subscription_id = found.subscription_id
WHERE found.subscription_id IS NOT NULL AND ({unless}) IS NOT TRUE
"""  # noqa: S608 - constants


SHUT = "status = 'queued' AND due_at IS NULL"
HELD = "status = 'held'"

# What the breaker stopped where it is open no longer, and what waits for a place in its rate; what
# was held where the subscription is not paused any more.
WITH_FREED = {
    SHUT: _subscriptions_with(
        SHUT, unless="g.open_until IS NOT NULL AND s.active AND s.paused_at IS NULL"
    ),
    HELD: _subscriptions_with(HELD, unless="s.paused_at IS NOT NULL"),
}


def _free(condition: str) -> str:
    return f"""
UPDATE event_system_delivery d SET status = 'pending', error = '', due_at = clock_timestamp()
FROM (
    SELECT id, event_at FROM event_system_delivery WHERE subscription_id = %s AND {condition}
    ORDER BY event_seq LIMIT %s FOR NO KEY UPDATE SKIP LOCKED) AS next
WHERE d.id = next.id AND d.event_at = next.event_at
"""  # noqa: S608 - constants


# After the pause one delivery goes out to see whether the receiver is well.
SEND_PROBES = """
WITH due AS (
    SELECT g.subscription_id FROM event_system_gate g
    WHERE g.open_until <= COALESCE(%s::timestamptz, clock_timestamp())
    ORDER BY g.subscription_id FOR UPDATE SKIP LOCKED
), probe AS (
    SELECT due.subscription_id, q.id, q.event_at FROM due CROSS JOIN LATERAL (
        SELECT d.id, d.event_at FROM event_system_delivery d
        WHERE d.subscription_id = due.subscription_id AND d.status = 'queued'
        ORDER BY d.event_seq LIMIT 1) AS q
), noted AS (
    UPDATE event_system_gate g
    SET probe_id = probe.id, open_until = clock_timestamp() + %s::interval
    FROM probe WHERE g.subscription_id = probe.subscription_id
)
UPDATE event_system_delivery d SET status = 'pending', error = '', due_at = clock_timestamp()
FROM probe WHERE d.id = probe.id AND d.event_at = probe.event_at AND d.status = 'queued'
"""

EXPIRE_HELD = """
UPDATE event_system_delivery d
SET status = 'expired', finished_at = clock_timestamp(),
    error = 'the subscription was paused for more than 30 days'
WHERE (d.id, d.event_at) IN (
    SELECT id, event_at FROM event_system_delivery
    WHERE status = 'held' AND event_at < COALESCE(%s::timestamptz, now()) - interval '30 days'
    LIMIT %s FOR NO KEY UPDATE SKIP LOCKED)
"""


def call(subscription_id: int, *, limit: int) -> list[int]:
    """Make the first of the subscription's queue pending; return their ids."""
    return [pk for (pk,) in fetch(CALL, [NET, subscription_id, limit])]


def leave(delivery_ids: Sequence[int]) -> int:
    """Have the next sweep send these, which nobody here takes any more; return how many wait."""
    return execute(LEAVE, [list(delivery_ids)])


def leave_queues(subscription_ids: Iterable[int]) -> int:
    """Have the next sweep send what these subscriptions have queued for room; return how many."""
    return execute(LEAVE_QUEUES, [list(subscription_ids), LEFT_AT_ONCE])


def release(*, limit: int) -> int:
    """Make pending what nothing stops any more, the first of each subscription's, `limit` of all
    together; return how many that were.

    The rest follows at the next call: who lets much go holds up nobody else's deliveries.
    """
    freed = [
        (condition, pk, places)
        for condition, query in WITH_FREED.items()
        for pk, places in fetch_prepared(query, [AHEAD])
    ]
    page = max(limit // max(len(freed), 1), 1)
    return sum(
        execute(_free(condition), [pk, page if places is None else min(page, places)])
        for condition, pk, places in freed
        if places != 0
    )


def send_probes(*, lease: timedelta, now: datetime | None = None) -> int:
    """Let one delivery of each subscription whose pause is over go out; return how many."""
    return execute_prepared(SEND_PROBES, [now, lease])


def expire_held(*, limit: int, now: datetime | None = None) -> int:
    """End what was held for 30 days; return how many that were. `now` is for tests."""
    return execute_prepared(EXPIRE_HELD, [now, limit])
