"""Who may go at once: past the breaker, into the room that is left, at the subscription's rate."""

from datetime import datetime, timedelta

from django.db import transaction

from subscriptions.deliveries.admission import NO_ROOM, ROOM_NET, Candidate, Ruled, Status
from subscriptions.deliveries.breaker import PROBE_LEASE
from subscriptions.statements import execute, fetch

# Deliveries whose place in the rate comes within this time are made at once, in one go.
RATE_GRAIN = timedelta(milliseconds=100)

BECOME_PROBE = """
UPDATE event_system_gate SET probe_id = %s, open_until = clock_timestamp() + %s
WHERE subscription_id = %s AND open_until <= clock_timestamp()
"""

# So far ahead places are given; who comes later queues, and is called when there are some again.
AHEAD = timedelta(minutes=2)

# The generic cell rate algorithm: `next_at` is when the next place is free. Locks the gate, and
# says which delivery is the first of those that wait for a place.
LOOK_AHEAD = """
INSERT INTO event_system_gate AS g (subscription_id, next_at)
VALUES (%(subscription)s, clock_timestamp())
ON CONFLICT (subscription_id) DO UPDATE
SET next_at = LEAST(GREATEST(g.next_at, clock_timestamp()), clock_timestamp() + %(ahead)s)
RETURNING next_at, clock_timestamp(), (
    SELECT d.event_seq FROM event_system_delivery d
    WHERE d.subscription_id = %(subscription)s AND d.status = 'queued' AND d.due_at IS NULL
    ORDER BY d.event_seq LIMIT 1)
"""
TAKE_PLACES = "UPDATE event_system_gate SET next_at = %s WHERE subscription_id = %s"


def past_the_breaker(waiting: list[Candidate]) -> tuple[list[Candidate], list[Ruled]]:
    shut = [candidate for candidate in waiting if candidate.is_shut]
    if not shut:
        return waiting, []
    let_in = [candidate for candidate in waiting if not candidate.is_shut]
    first = shut[0]
    if first.may_probe and not let_in and _become_probe(first):
        let_in, shut = [first], shut[1:]
    reason = "the receiver fails: waits until it is well again"
    return let_in, [Ruled(candidate.id, Status.QUEUED, reason) for candidate in shut]


def _become_probe(candidate: Candidate) -> bool:
    return execute(BECOME_PROBE, [candidate.id, PROBE_LEASE, candidate.subscription_id]) == 1


def into_the_room(waiting: list[Candidate], places: int) -> tuple[list[Candidate], list[Ruled]]:
    return waiting[:places], [
        Ruled(candidate.id, Status.QUEUED, NO_ROOM, ROOM_NET) for candidate in waiting[places:]
    ]


def at_the_rate(
    waiting: list[Candidate], max_rate: int | None
) -> tuple[list[Candidate], list[Ruled]]:
    """Give each a place, `max_rate` a second; those whose place is later come back for it.

    Nobody passes those that wait for a place.
    """
    if not max_rate:
        return waiting, []
    let_in = [candidate for candidate in waiting if candidate.slot_at is not None]
    rest = [candidate for candidate in waiting if candidate.slot_at is None]
    if not rest:
        return let_in, []
    reason = f"waits for its place: at most {max_rate} a second"
    slots, now = _take_places(rest, timedelta(seconds=1 / max_rate))
    ruled: list[Ruled] = []
    for position, candidate in enumerate(rest):
        if position >= len(slots):
            ruled.append(Ruled(candidate.id, Status.QUEUED, reason))
        elif (slot := slots[position]) <= now + RATE_GRAIN:
            let_in.append(candidate)
        else:
            ruled.append(Ruled(candidate.id, Status.QUEUED, reason, slot - now, slot))
    return let_in, ruled


def _take_places(waiting: list[Candidate], interval: timedelta) -> tuple[list[datetime], datetime]:
    """Return the places of the first of these, in the order of their events, and the time now."""
    pk = waiting[0].subscription_id
    with transaction.atomic():
        [(start, now, queued)] = fetch(LOOK_AHEAD, {"subscription": pk, "ahead": AHEAD})
        count = sum(1 for one in waiting if queued is None or one.event_seq < queued)
        count = min(count, max((now + AHEAD - start) // interval, 0))
        execute(TAKE_PLACES, [start + interval * count, pk])
    return [start + interval * position for position in range(count)], now
