"""Sending again what failed, or what a subscription has missed.

A replay is a new generation of tries on the same row, with the same `webhook-id`, in the order of
the events. What succeeded is sent again only if that is asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from subscriptions import handing
from subscriptions.cursor import READABLE_COLUMNS
from subscriptions.documents import UNREADABLE
from subscriptions.envelope import Envelope
from subscriptions.errors import InvalidSubscription, UnknownSubscription
from subscriptions.fanout import insert_deliveries, matched
from subscriptions.matching import Matcher, Target
from subscriptions.models import Delivery, Subscription
from subscriptions.operators import FilterError
from subscriptions.past import REPLAY, Limits, Past
from subscriptions.patterns import Pattern, compile_filter
from subscriptions.routing import target_of
from subscriptions.statements import execute, fetch
from subscriptions.validation import check_definition, watched_columns

Status = Delivery.Status

FAILED = (Status.DEAD, Status.EXPIRED, Status.CANCELED)
PAGE = 1000
LARGEST_ID = 2**63 - 1
SHOWN = 20

DELIVERIES = f"""
SELECT d.id, {READABLE_COLUMNS}
FROM event_system_delivery d
JOIN event_system_event e ON e.seq = d.event_seq AND e.recorded_at = d.event_at
WHERE d.subscription_id = %(subscription)s AND d.status = ANY (%(statuses)s)
    AND (%(ids)s::bigint[] IS NULL OR d.id = ANY (%(ids)s))
    AND (%(since)s::timestamptz IS NULL OR d.event_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR d.event_at < %(until)s)
    AND d.event_seq > %(after)s
ORDER BY d.event_seq LIMIT %(limit)s
"""  # noqa: S608 - constants

AGAIN = """
UPDATE event_system_delivery d
SET status = 'pending', generation = d.generation + 1, attempts = 0, error = '', batch_id = NULL,
    slot_at = NULL, finished_at = NULL, due_at = clock_timestamp(),
    record_key = COALESCE(d.record_key, r.record_key)
FROM unnest(%s::bigint[], %s::text[]) AS r (id, record_key)
WHERE d.id = r.id AND d.status = ANY (%s)
"""


@dataclass
class Replayed:
    """How many deliveries are sent `again`, and how many are made for events that were `missed`.

    `sample` holds the ids of the first of those that are sent again. `lost` are those asked for by
    id whose event has left the outbox, or which did not fail. To find what was missed, `looked_at`
    events were passed, `up_to` that time; `is_whole` says that none was left.
    """

    again: int = 0
    missed: int = 0
    lost: int = 0
    sample: list[int] = field(default_factory=list)
    looked_at: int = 0
    up_to: datetime | None = None
    is_whole: bool = True


def replay(
    subscription_id: int,
    *,
    delivery_ids: Sequence[int] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    filter: Any = None,  # noqa: A002 - the contract's word
    missed: bool = False,
    again: bool = False,
    dry_run: bool = False,
    limits: Limits = REPLAY,
) -> Replayed:
    """Send deliveries of the subscription again; return what that is, or would be if `dry_run`.

    Those that failed (dead, expired, canceled), recorded between `since` and `until`, whose events
    the filter meets; with `again` those that were delivered too. `missed` makes deliveries for
    events of that time that match the subscription and have none; it needs `since`, and ends at
    the limits: the result says up to when it came, and the next one goes on from there.

    Raises UnknownSubscription, and InvalidSubscription if it is off or cannot be delivered to, or
    for a filter that cannot be.
    """
    subscription = _usable(subscription_id)
    target = target_of(subscription, check_definition(subscription, watched_columns()))
    pattern = _pattern(filter)
    if missed and since is None:
        raise InvalidSubscription("since", "a replay of missed events says from when on")
    statuses = [*FAILED, *((Status.DELIVERED, Status.SUPERSEDED) if again else ())]
    given = {
        "subscription": subscription_id,
        "statuses": statuses,
        "ids": None if delivery_ids is None else [pk for pk in delivery_ids if pk <= LARGEST_ID],
        "since": since,
        "until": until,
    }
    result = Replayed()
    for page in _pages(DELIVERIES, given):
        wanted = [(pk, event) for pk, event in page if _is_met(pattern, event)]
        result.again += len(wanted)
        result.sample += [pk for pk, _ in wanted[: SHOWN - len(result.sample)]]
        if wanted and not dry_run:
            _send_again(wanted, target, statuses)
    if delivery_ids is not None:
        result.lost = len(set(delivery_ids)) - result.again
    if missed:
        past = Past(subscription, limits=limits, since=since, until=until)
        _make_missed(past, result, target, pattern, dry_run=dry_run)
    return result


def _usable(subscription_id: int) -> Subscription:
    subscription = Subscription.objects.filter(pk=subscription_id).first()
    if subscription is None:
        raise UnknownSubscription(subscription_id)
    if not subscription.active:
        raise InvalidSubscription("active", "is off: switch it on, then replay")
    return subscription


def _pattern(wanted: Any) -> Pattern | None:
    if not wanted:
        return None
    try:
        return compile_filter(wanted)
    except FilterError as error:
        raise InvalidSubscription("filter", str(error)) from error


def _is_met(pattern: Pattern | None, event: Envelope) -> bool:
    try:
        return pattern is None or pattern.matches(event)
    except UNREADABLE:
        return False


def _pages(query: str, given: dict[str, Any]) -> Iterator[list[tuple[int, Envelope]]]:
    after = 0
    while True:
        found = fetch(query, {**given, "after": after, "limit": PAGE})
        if not found:
            return
        page = [(row[0], Envelope(*row[1:])) for row in found]
        after = page[-1][1].seq
        yield page


def _send_again(
    wanted: Sequence[tuple[int, Envelope]], target: Target, statuses: Sequence[str]
) -> None:
    execute(
        AGAIN,
        [
            [pk for pk, _ in wanted],
            [event.record_key if target.is_by_record else None for _, event in wanted],
            list(statuses),
        ],
    )


def _make_missed(
    past: Past, result: Replayed, target: Target, pattern: Pattern | None, *, dry_run: bool
) -> None:
    """Make deliveries part by part: what is made stays, also where the time runs out then."""
    matcher = Matcher([target])
    for events in past.missed():
        # As the relay does: what a filter cannot examine becomes a dead delivery that says so.
        matches = [match for match in matched(matcher, events) if _is_met(pattern, match.event)]
        result.missed += len(matches)
        if matches and not dry_run:
            handing.send(insert_deliveries(matches))
    result.looked_at, result.up_to, result.is_whole = past.looked_at, past.to, past.is_whole
