"""From the outbox to deliveries: read a page, match it, insert, move the cursor, all in one
transaction.

The cursor's row lock is what keeps two relays apart; a process that dies before its commit has done
nothing, one that dies after it has left rows that the sweep sends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from django.db import transaction

from subscriptions import cursor, handing, runs, unroutable
from subscriptions.cursor import EARLIEST, LATEST, Glance
from subscriptions.envelope import Envelope
from subscriptions.errors import AlreadyRouted, OddEvents
from subscriptions.fanout import Match, insert_in_turn, matched
from subscriptions.handing import Waiting
from subscriptions.routing import Router
from subscriptions.shards import WHOLE, Share
from subscriptions.unroutable import blamed_on_events

log = structlog.get_logger(__name__)

Hand = Callable[[Sequence[Waiting]], int]
PAGE_SIZE = 1000
PART = 250  # of a page, inserted while the next one is matched


@dataclass(frozen=True)
class Relayed:
    """What one turn did: events read, deliveries made, messages handed over."""

    events: int = 0
    deliveries: int = 0
    messages: int = 0

    def __add__(self, other: "Relayed") -> "Relayed":
        return Relayed(
            self.events + other.events,
            self.deliveries + other.deliveries,
            self.messages + other.messages,
        )


def relay_once(
    router: Router,
    *,
    share: Share = WHOLE,
    limit: int = PAGE_SIZE,
    glance: Glance | None = None,
    is_busy: bool = False,
    hand: Hand = handing.send,
) -> Relayed:
    """Relay what can be read now: one page, or, at the end of a snapshot, the first of the next.

    Returns zero events if there was nothing. `glance` remembers over turns what it saw; `is_busy`
    leaves out the look whether there is anything: right after a full page there will be. `hand`
    takes what waits for a worker. A page with an event that cannot be routed is halved until that
    one is alone, and set aside. Raises ShardsInUse.
    """
    if not is_busy and not (glance or Glance(share)).is_unread():
        return Relayed()
    turn = _turn(router, share, limit, hand)
    router.note_verdicts()
    return turn


def relay_all(router: Router, *, share: Share = WHOLE, limit: int = PAGE_SIZE) -> Relayed:
    """Relay until nothing is left: for tests and commands that must see the end."""
    whole, glance = Relayed(), Glance(share)
    while (turn := relay_once(router, share=share, limit=limit, glance=glance)).events:
        whole += turn
    return whole


def _turn(router: Router, share: Share, limit: int, hand: Hand) -> Relayed:
    try:
        events, waiting = _page(router, share, limit)
    except OddEvents as error:
        if limit == 1:
            return _relay_odd(router, share, hand, str(error))
        log.warning("page_halved", events=limit, reason=str(error))
        return _turn(router, share, limit // 2, hand) + _turn(
            router, share, limit - limit // 2, hand
        )
    return Relayed(events, handing.count(waiting), hand(waiting) if waiting else 0)


def _page(router: Router, share: Share, limit: int) -> tuple[int, list[Waiting]]:
    try:
        return _routed(router, share, limit, are_new=True)
    except AlreadyRouted:  # some were read before: after a restore, say
        return _routed(router, share, limit, are_new=False)


def _routed(
    router: Router, share: Share, limit: int, *, are_new: bool
) -> tuple[int, list[Waiting]]:
    with transaction.atomic():
        with blamed_on_events():
            events = _read(share, limit)
        waiting: list[Waiting] = []
        if events:
            router.refresh()
            parts = (events[first : first + PART] for first in range(0, len(events), PART))
            with blamed_on_events():
                matches = (matched(router.matcher, part) for part in parts)
                waiting = insert_in_turn(matches, are_new=are_new)
                runs.offer(events)
        _move_on(share, [event.seq for event in events], limit)
    return len(events), waiting


def _relay_odd(router: Router, share: Share, hand: Hand, reason: str) -> Relayed:
    """Do for one event what can be done: deliver it without asking the runs that wait for events,
    else leave a dead delivery to each that gets it, else nothing. It is noted in any case.
    """
    for way in (_unoffered, _dead):
        try:
            with transaction.atomic():
                events, waiting = way(router, share, reason)
        except OddEvents:
            continue
        return Relayed(events, handing.count(waiting), hand(waiting) if waiting else 0)
    with transaction.atomic():
        seq = cursor.next_seq(cursor.hold(share)) or _next_seq(share)
        return Relayed(_set_aside(share, [seq] if seq else [], reason))


def _unoffered(router: Router, share: Share, reason: str) -> tuple[int, list[Waiting]]:
    with blamed_on_events():
        events = _read(share, 1)
    router.refresh()
    with blamed_on_events():
        waiting = insert_in_turn([matched(router.matcher, events)])
    return _set_aside(share, [event.seq for event in events], reason), waiting


def _dead(router: Router, share: Share, reason: str) -> tuple[int, list[Waiting]]:
    with blamed_on_events():
        events = _read(share, 1, is_any_time_read=True)
    router.refresh()
    with blamed_on_events():
        # A delivery bears the time of its event, and must be readable itself.
        found = matched(router.matcher, [e for e in events if EARLIEST < e.recorded_at < LATEST])
        insert_in_turn([[Match(one.event, one.targets, reason) for one in found]])
    return _set_aside(share, [event.seq for event in events], reason), []


def _set_aside(share: Share, seqs: Sequence[int], reason: str) -> int:
    for seq in seqs:
        unroutable.note(seq, reason)
    _move_on(share, seqs, 1)
    return len(seqs)


def _read(share: Share, limit: int, *, is_any_time_read: bool = False) -> list[Envelope]:
    def page() -> list[Envelope]:
        position = cursor.hold(share)
        return cursor.read_page(position, limit=limit, is_any_time_read=is_any_time_read)

    if events := page():
        return events
    cursor.next_snapshot(share)
    return page()


def _next_seq(share: Share) -> int | None:
    cursor.next_snapshot(share)
    return cursor.next_seq(cursor.hold(share))


def _move_on(share: Share, seqs: Sequence[int], limit: int) -> None:
    """Leave a snapshot as soon as it ends: what idle polling looks at stays small."""
    if len(seqs) < limit:
        cursor.next_snapshot(share, last_seq=max(seqs, default=0))
    else:
        cursor.advance(seqs[-1], share)
