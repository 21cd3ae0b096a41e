"""Who may go at once: past the breaker, into the room that is left, at the subscription's rate."""

from datetime import datetime, timedelta

from subscriptions.deliveries.admission import NO_ROOM, ROOM_NET, Candidate, Ruled, Status
from subscriptions.deliveries.breaker import PROBE_LEASE
from subscriptions.statements import execute, fetch

# Deliveries whose place in the rate comes within this time are made at once, in one go.
RATE_GRAIN = timedelta(milliseconds=100)

BECOME_PROBE = """
UPDATE event_system_gate SET probe_id = %s, open_until = clock_timestamp() + %s
WHERE subscription_id = %s AND open_until <= clock_timestamp()
"""

# The generic cell rate algorithm: `next_at` is when the next place is free; this takes some.
TAKE_PLACES = """
INSERT INTO event_system_gate AS g (subscription_id, next_at)
VALUES (%(subscription)s, clock_timestamp() + %(time)s)
ON CONFLICT (subscription_id) DO UPDATE
SET next_at = GREATEST(g.next_at, clock_timestamp()) + %(time)s
RETURNING next_at - %(time)s, clock_timestamp()
"""


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
    """Give each a place, `max_rate` a second; those whose place is later come back for it."""
    if not max_rate:
        return waiting, []
    let_in = [candidate for candidate in waiting if candidate.slot_at is not None]
    rest = [candidate for candidate in waiting if candidate.slot_at is None]
    if not rest:
        return let_in, []
    interval = timedelta(seconds=1 / max_rate)
    start, now = _take_places(rest[0].subscription_id, interval * len(rest))
    later: list[Ruled] = []
    for position, candidate in enumerate(rest):
        slot = start + interval * position
        if slot <= now + RATE_GRAIN:
            let_in.append(candidate)
        else:
            reason = f"waits for its place: at most {max_rate} a second"
            later.append(Ruled(candidate.id, Status.QUEUED, reason, slot - now, slot))
    return let_in, later


def _take_places(subscription_id: int, time: timedelta) -> tuple[datetime, datetime]:
    [(start, now)] = fetch(TAKE_PLACES, {"subscription": subscription_id, "time": time})
    return start, now
