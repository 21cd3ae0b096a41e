"""Why an event goes to a subscription or not, and what a filter would have met in the past."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any
from uuid import UUID

from django.db import connection

from subscriptions.cursor import READABLE_COLUMNS
from subscriptions.documents import UNREADABLE
from subscriptions.envelope import Envelope
from subscriptions.errors import UnknownEvent
from subscriptions.handlers.contract import registered
from subscriptions.matching import TRUNCATE
from subscriptions.models import Gate, Subscription
from subscriptions.operators import FilterError
from subscriptions.past import TRIAL, Limits, Past
from subscriptions.patterns import Pattern, Verdict, compile_filter, with_leaving
from subscriptions.validation import check_matching, watched_columns

NEWEST = 10_000  # events that a trial looks at
SHOWN = 20


@dataclass(frozen=True)
class Reason:
    """One thing that a match needs: what it asks, what the event has, and whether that is met."""

    asks: str
    wanted: Any
    found: Any
    is_met: bool


@dataclass(frozen=True)
class Explanation:
    """Every reason of one event and one subscription; it matches if all are met.

    `notes` say what else keeps a matching event from being delivered: a pause, say.
    """

    reasons: list[Reason]
    notes: list[str] = field(default_factory=list)

    @property
    def matches(self) -> bool:
        return all(reason.is_met for reason in self.reasons)


@dataclass(frozen=True)
class Trial:
    """How a filter would have done: of `examined` past events `matched`, the newest `shown`;
    `unreadable` are those that no filter can examine.

    To find them, `looked_at` events were passed, back to the time `back_to`; `is_whole` says that
    there are no more.
    """

    examined: int
    matched: int
    shown: list[Envelope]
    unreadable: int = 0
    looked_at: int = 0
    back_to: datetime | None = None
    is_whole: bool = True


def why(subscription: Subscription, event_id: UUID) -> Explanation:
    """Explain a match or a miss, by the event's `id`. One query; raises UnknownEvent."""
    event = envelope(event_id)
    reasons = [*_source(subscription, event), *_filter(subscription, event)]
    return Explanation(reasons, list(_notes(subscription, event)))


def envelope(event_id: UUID) -> Envelope:
    """Return one event of the outbox; raises UnknownEvent."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {READABLE_COLUMNS} FROM event_system_event e WHERE e.id = %s",  # noqa: S608 - constants
            [event_id],
        )
        row = cursor.fetchone()
    if row is None:
        raise UnknownEvent(event_id)
    return Envelope(*row)


def check_visible(event_id: UUID, *, company: str | None) -> None:
    """Raise UnknownEvent unless it is an event that this company may see; None may see all."""
    event = envelope(event_id)
    is_of_all = event.operation == TRUNCATE and event.company is None
    if company not in (None, event.company) and not is_of_all:
        raise UnknownEvent(event_id)


def _source(subscription: Subscription, event: Envelope) -> Iterator[Reason]:
    company = subscription.company
    # A TRUNCATE has no rows, so it is of no company and told to all.
    is_of_all = event.operation == TRUNCATE and event.company is None
    is_ours = company in (None, event.company) or is_of_all
    yield Reason("company", company or "any", event.company, is_ours)
    if subscription.table is None:
        wanted = subscription.event_type or ""
        yield Reason("type", wanted, event.type, fnmatchcase(event.type or "", wanted))
        return
    yield Reason("table", subscription.table, event.table, event.table == subscription.table)
    is_asked = event.operation in subscription.operations
    yield Reason("operation", list(subscription.operations), event.operation, is_asked)


def _filter(subscription: Subscription, event: Envelope) -> Iterator[Reason]:
    """Yield what each condition says; of an event that none can examine, that."""
    try:
        yield from list(_conditions(subscription, event))
    except UNREADABLE as error:
        found = f"the event cannot be examined: {type(error).__name__}"
        yield Reason("filter", subscription.filter, found, False)


def _conditions(subscription: Subscription, event: Envelope) -> Iterator[Reason]:
    if event.operation == TRUNCATE:
        return
    try:
        pattern = compile_filter(subscription.filter)
    except FilterError as error:  # written by SQL: nothing is delivered by it
        yield Reason("filter", subscription.filter, f"cannot be: {error}", False)
        return
    handler = registered().get(subscription.handler_type)
    if handler is not None and handler.sees_leaving and not pattern.matches(event):
        widened = compile_filter(with_leaving(subscription.filter))
        if widened.matches(event):
            yield Reason("filter", subscription.filter, "met before, and not any more", True)
            return
    for verdict in pattern.verdicts(event):
        yield _reason(verdict)


def _reason(verdict: Verdict) -> Reason:
    asks = f"filter {verdict.path}".strip()
    found: Any = verdict.found
    if verdict.of_change:
        found = {"before": verdict.before, "after": verdict.after}
    elif not verdict.is_there:
        found = "nothing there" if verdict.path else None
    return Reason(asks, verdict.wanted, found, verdict.is_met)


def _notes(subscription: Subscription, event: Envelope) -> Iterator[str]:
    if not subscription.active:
        because = f": {subscription.disabled_reason}" if subscription.disabled_reason else ""
        yield f"the subscription is not active{because}; nothing is captured for it"
    if subscription.invalid_reason:
        yield f"the subscription is invalid: {subscription.invalid_reason}"
    if subscription.paused_at is not None:
        yield f"paused since {subscription.paused_at:%Y-%m-%d %H:%M} UTC: deliveries are held"
    gate = Gate.objects.filter(pk=subscription.pk, open_until__isnull=False).first()
    if gate is not None:
        yield f"its receiver has failed {gate.failures} times in a row: deliveries wait for a probe"
    if subscription.created_at is not None and event.recorded_at < subscription.created_at:
        yield "the event is older than the subscription"


def try_filter(
    wanted: Subscription,
    *,
    since: datetime | None = None,
    enough: int | None = None,
    limits: Limits = TRIAL,
) -> Trial:
    """Ask past events of the company, the newest 10,000 since then, what a subscription that need
    not be saved would have got; stop at `enough` that match, or at the limits.

    Raises InvalidSubscription. A table's events from before anybody subscribed to it are there only
    if it is captured always.
    """
    check_matching(wanted, watched_columns())
    pattern = compile_filter(wanted.filter)
    past = Past(wanted, limits=limits, since=since)
    examined = matched = unreadable = 0
    shown: list[Envelope] = []
    for event in chain.from_iterable(past.newest_first()):
        examined += 1
        is_met = _is_met(wanted, pattern, event)
        unreadable += is_met is None
        if is_met:
            matched += 1
            shown += [event] if len(shown) < SHOWN else []
        if examined == NEWEST or matched == enough or past.is_over:
            break
    return Trial(examined, matched, shown, unreadable, past.looked_at, past.to, past.is_whole)


def _is_met(wanted: Subscription, pattern: Pattern, event: Envelope) -> bool | None:
    """Whether the subscription gets the event; None if no filter can examine it."""
    try:
        if not all(reason.is_met for reason in _source(wanted, event)):
            return False
        return event.operation == TRUNCATE or pattern.matches(event)
    except UNREADABLE:
        return None
