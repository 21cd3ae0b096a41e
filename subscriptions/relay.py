"""From the outbox to deliveries: read a page, match it, insert, move the cursor, all in one
transaction.

The cursor's row lock is what keeps two relays apart; a process that dies before its commit has done
nothing, one that dies after it has left rows that the sweep sends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import transaction

from subscriptions import cursor, handing, runs
from subscriptions.cursor import Glance
from subscriptions.envelope import Envelope
from subscriptions.fanout import insert_in_turn, matched
from subscriptions.handing import Waiting
from subscriptions.routing import Router
from subscriptions.shards import WHOLE, Share

PAGE_SIZE = 1000
PART = 250  # of a page, inserted while the next one is matched


@dataclass(frozen=True)
class Relayed:
    """What one turn did: events read, deliveries made, messages handed over."""

    events: int = 0
    deliveries: int = 0
    messages: int = 0


def relay_once(
    router: Router,
    *,
    share: Share = WHOLE,
    limit: int = PAGE_SIZE,
    glance: Glance | None = None,
    is_busy: bool = False,
    hand: Callable[[Sequence[Waiting]], int] = handing.send,
) -> Relayed:
    """Relay what can be read now: one page, or, at the end of a snapshot, the first of the next.

    Returns zero events if there was nothing. `glance` remembers over turns what it saw; `is_busy`
    leaves out the look whether there is anything: right after a full page there will be. `hand`
    takes what waits for a worker. Raises ShardsInUse.
    """
    if not is_busy and not (glance or Glance(share)).is_unread():
        return Relayed()
    with transaction.atomic():
        events = _read(share, limit)
        waiting: list[Waiting] = []
        if events:
            router.refresh()
            parts = (events[first : first + PART] for first in range(0, len(events), PART))
            waiting = insert_in_turn(matched(router.matcher, part) for part in parts)
            runs.offer(events)
        _move_on(share, events, limit)
    router.note_verdicts()
    return Relayed(len(events), handing.count(waiting), hand(waiting) if waiting else 0)


def relay_all(router: Router, *, share: Share = WHOLE, limit: int = PAGE_SIZE) -> Relayed:
    """Relay until nothing is left: for tests and commands that must see the end."""
    events = deliveries = messages = 0
    glance = Glance(share)
    while (turn := relay_once(router, share=share, limit=limit, glance=glance)).events:
        events += turn.events
        deliveries += turn.deliveries
        messages += turn.messages
    return Relayed(events, deliveries, messages)


def _read(share: Share, limit: int) -> list[Envelope]:
    events = cursor.read_page(cursor.hold(share), limit=limit)
    if not events:
        cursor.next_snapshot(share)
        events = cursor.read_page(cursor.hold(share), limit=limit)
    return events


def _move_on(share: Share, events: Sequence[Envelope], limit: int) -> None:
    """Leave a snapshot as soon as it ends: what idle polling looks at stays small."""
    if len(events) < limit:
        cursor.next_snapshot(share)
    else:
        cursor.advance(events[-1].seq, share)
