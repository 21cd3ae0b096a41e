"""One event followed through matching, deliveries, tries, runs and the events that came of it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from uuid import UUID

from django.db.models import Q

from jobs.models import Run
from subscriptions import explanations
from subscriptions.cursor import READABLE_COLUMNS
from subscriptions.envelope import Envelope
from subscriptions.explanations import Explanation
from subscriptions.loading import load
from subscriptions.matching import TRUNCATE
from subscriptions.models import Delivery, DeliveryAttempt, Subscription
from subscriptions.statements import fetch

MOST = 100  # events that came of it

# Looked for from the event's time on; the outbox has no index by correlation.
CHILDREN = f"""
SELECT {READABLE_COLUMNS} FROM event_system_event e
WHERE e.recorded_at >= %s AND e.correlation_id = %s AND e.seq > %s
ORDER BY e.seq LIMIT %s
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Followed:
    """What became of the event for one subscription.

    `subscription` is None if it was deleted since; `delivery` is None if there is none: it did not
    match, or the relay has not come to the event yet.
    """

    subscription: Subscription | None
    explanation: Explanation | None
    delivery: Delivery | None
    tries: list[DeliveryAttempt]
    run: Run | None


@dataclass(frozen=True)
class Trail:
    """An event, what became of it for each subscription that could be meant, and its children:
    later events of the same correlation.
    """

    event: Envelope
    followed: list[Followed]
    children: list[Envelope]


def follow(event_id: UUID) -> Trail:
    """Return the trail of an event; some queries. Raises UnknownEvent."""
    event = explanations.envelope(event_id)
    subscriptions = {one.pk: one for one in _meant(event)}
    deliveries = {
        one.subscription_id: one
        for one in Delivery.objects.filter(event_id=event.seq, event_at=event.recorded_at)
    }
    tries: defaultdict[int, list[DeliveryAttempt]] = defaultdict(list)
    made = [one.pk for one in deliveries.values()]
    for attempt in DeliveryAttempt.objects.filter(delivery_id__in=made).order_by("id"):
        tries[attempt.delivery_id].append(attempt)
    runs = _runs(event, subscriptions)
    followed = []
    for pk in sorted({*subscriptions, *deliveries}):
        subscription, delivery = subscriptions.get(pk), deliveries.get(pk)
        followed.append(
            Followed(
                subscription,
                explanations.why(subscription, event_id) if subscription is not None else None,
                delivery,
                tries[delivery.pk] if delivery is not None else [],
                runs.get(pk),
            )
        )
    return Trail(event, followed, _children(event))


def _meant(event: Envelope) -> Iterator[Subscription]:
    """Yield the subscriptions of the event's table or type and company, and the platform's."""
    rows = Subscription.objects.all()
    if event.operation != TRUNCATE:  # which is told to all
        rows = rows.filter(Q(company=event.company) | Q(company=None))
    if event.type is None:
        yield from load(rows.filter(table=event.table))[0]
        return
    for subscription in load(rows.exclude(event_type=None))[0]:
        if fnmatchcase(event.type, subscription.event_type or ""):
            yield subscription


def _runs(event: Envelope, subscriptions: dict[int, Subscription]) -> dict[int, Run]:
    """Return the run that each subscription's delivery started, by the subscription's id. What is
    asked besides the key is what its index begins with.
    """
    keys = {f"{event.id}/{pk}": pk for pk in subscriptions}
    found = Run.objects.filter(
        workflow__in={str(one.config.get("workflow")) for one in subscriptions.values()},
        company__in={event.company, *(one.company for one in subscriptions.values())} - {None},
        idempotency_key__in=keys,
    )
    return {keys[run.idempotency_key]: run for run in found if run.idempotency_key in keys}


def _children(event: Envelope) -> list[Envelope]:
    correlation = event.correlation_id or str(event.id)
    rows = fetch(CHILDREN, [event.recorded_at, correlation, event.seq, MOST])
    return [Envelope(*row) for row in rows]
