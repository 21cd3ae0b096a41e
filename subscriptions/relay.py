"""From the outbox to deliveries: read a page, match it, insert, move the cursor, all in one
transaction.

The cursor's row lock is what keeps two relays apart; a process that dies before its commit has done
nothing, one that dies after it has left rows that the sweep sends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction

from subscriptions import cursor, handing, runs
from subscriptions.envelope import Envelope
from subscriptions.handing import Waiting
from subscriptions.matching import Target
from subscriptions.models import Delivery
from subscriptions.routing import Router

log = structlog.get_logger(__name__)

PAGE_SIZE = 1000
DEEPEST = 10

INSERT = """
INSERT INTO event_system_delivery
    (event_seq, event_id, event_at, subscription_id, company, handler_type, status, error,
        record_key, due_at)
SELECT seq, id, at, subscription_id, company, handler_type, status, error, record_key,
    CASE status WHEN 'pending' THEN clock_timestamp() + COALESCE(delay, make_interval(secs => %s))
    END
FROM unnest(%s::bigint[], %s::uuid[], %s::timestamptz[], %s::bigint[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::text[], %s::interval[]) AS d (seq, id, at, subscription_id, company,
    handler_type, status, error, record_key, delay)
ON CONFLICT (event_seq, subscription_id, event_at) DO NOTHING
RETURNING id, handler_type, subscription_id, status, record_key
"""


@dataclass(frozen=True)
class Relayed:
    """What one turn did: events read, deliveries made, messages sent."""

    events: int = 0
    deliveries: int = 0
    messages: int = 0


def relay_once(
    router: Router, *, shard: int = 0, limit: int = PAGE_SIZE, is_busy: bool = False
) -> Relayed:
    """Relay what can be read now: one page, or, at the end of a snapshot, the first of the next.

    Returns zero events if there was nothing. `is_busy` leaves out the look whether there is: right
    after a full page there will be.
    """
    if not is_busy and not cursor.is_unread(shard):
        return Relayed()
    with transaction.atomic():
        events = _read(shard, limit)
        waiting: list[Waiting] = []
        if events:
            router.refresh()
            waiting = insert_deliveries(_matched(router, events))
            runs.offer(events)
        _move_on(shard, events, limit)
    router.note_verdicts()
    return Relayed(len(events), len(waiting), handing.send(waiting))


def relay_all(router: Router, *, shard: int = 0) -> Relayed:
    """Relay until nothing is left: for tests and commands that must see the end."""
    events = deliveries = messages = 0
    while (turn := relay_once(router, shard=shard)).events:
        events += turn.events
        deliveries += turn.deliveries
        messages += turn.messages
    return Relayed(events, deliveries, messages)


def _read(shard: int, limit: int) -> list[Envelope]:
    events = cursor.read_page(cursor.hold(shard), limit=limit)
    if not events:
        cursor.next_snapshot(shard)
        events = cursor.read_page(cursor.hold(shard), limit=limit)
    return events


def _move_on(shard: int, events: Sequence[Envelope], limit: int) -> None:
    """Leave a snapshot as soon as it ends: what idle polling looks at stays small."""
    if len(events) < limit:
        cursor.next_snapshot(shard)
    else:
        cursor.advance(events[-1].seq, shard)


@dataclass(frozen=True)
class Match:
    """An event and who gets it; `problem` says why its filter could not be asked."""

    event: Envelope
    target: Target
    problem: str = ""

    @property
    def record_key(self) -> str | None:
        return self.event.record_key if self.target.is_by_record else None

    @property
    def delay(self) -> timedelta | None:
        """How long it waits for a later event of its record; None: not at all."""
        return (self.target.debounce or None) if self.record_key is not None else None


def _matched(router: Router, events: Sequence[Envelope]) -> list[Match]:
    found: list[Match] = []
    for event in events:
        try:
            found += [Match(event, target) for target in router.matcher.match(event)]
        except Exception as error:
            # json columns hold what Python's parser refuses: nested beyond its stack, say. One
            # such event must not stop all others; whose filter it leaves open sees a dead delivery.
            log.exception("event_unmatched", event_id=str(event.id))
            problem = f"the filter cannot examine the event: {type(error).__name__}: {error}"[:500]
            found += [
                Match(event, target, problem if target.filter else "")
                for target in router.matcher.addressed(event)
            ]
    return found


def _state(match: Match) -> tuple[str, str]:
    if match.problem:
        return Delivery.Status.DEAD, match.problem
    if match.event.depth > DEEPEST:
        return Delivery.Status.BLOCKED, f"the chain of events is longer than {DEEPEST}"
    if match.target.is_paused:
        return Delivery.Status.HELD, ""
    return Delivery.Status.PENDING, ""


def insert_deliveries(matches: Sequence[Match]) -> list[Waiting]:
    """Insert the deliveries in one statement; return those that wait for a worker.

    A debounced one gets no message: the sweep sends it when its time has come.
    """
    if not matches:
        return []
    states = [_state(match) for match in matches]
    with connection.cursor() as rows:
        rows.execute(
            INSERT,
            [
                settings.DELIVERY_RESEND_AFTER.total_seconds(),
                [match.event.seq for match in matches],
                [match.event.id for match in matches],
                [match.event.recorded_at for match in matches],
                [match.target.id for match in matches],
                [match.event.company for match in matches],
                [match.target.handler_type for match in matches],
                [status for status, _ in states],
                [error for _, error in states],
                [match.record_key for match in matches],
                [match.delay for match in matches],
            ],
        )
        debounced = {match.target.id for match in matches if match.target.debounce}
        return [
            Waiting(delivery_id, handler_type, subscription_id)
            for delivery_id, handler_type, subscription_id, status, record_key in rows.fetchall()
            if status == Delivery.Status.PENDING
            and not (record_key is not None and subscription_id in debounced)
        ]
