"""What stands above a subscription's form: its state, its newest deliveries, what can be done."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils import timezone

from subscriptions.errors import SubscriptionsError
from subscriptions.examples import of_deliveries
from subscriptions.handlers.contract import Handler, Preview, registered
from subscriptions.models import Gate, Subscription
from subscriptions.recent import Rate, Recent, newest, rate


@dataclass(frozen=True)
class Notice:
    """Something that keeps deliveries from being made, and what to do about it."""

    text: str


@dataclass(frozen=True)
class Row:
    """A delivery, its last try, and its request as the subscription would make it now."""

    recent: Recent
    request: Preview | None


@dataclass(frozen=True)
class Panel:
    handler: Handler | None
    notices: list[Notice]
    rate: Rate
    rows: list[Row]
    columns: tuple[str, ...] = ("Delivery", "Status", "Attempts", "Answer", "Took", "Event")


def panel(subscription: Subscription) -> Panel:
    """Collect it. Six queries, none of which grows with the number of deliveries."""
    recent = newest(subscription.pk)
    requests = _requests(subscription, recent)
    return Panel(
        handler=registered().get(subscription.handler_type),
        notices=list(_notices(subscription)),
        rate=rate(subscription.pk),
        rows=[Row(one, requests.get(one.delivery.pk)) for one in recent],
    )


def _requests(subscription: Subscription, recent: list[Recent]) -> dict[int, Preview]:
    try:
        return of_deliveries(subscription, [one.delivery for one in recent])
    except SubscriptionsError:  # as it is now, it can make none
        return {}


def _notices(subscription: Subscription) -> Iterator[Notice]:
    if subscription.invalid_reason:
        yield Notice(f"Invalid, nothing is delivered: {subscription.invalid_reason}")
    if subscription.disabled_reason and not subscription.active:
        yield Notice(f"Switched off by the platform: {subscription.disabled_reason}")
    elif not subscription.active:
        yield Notice("Not active: nothing is captured for it.")
    if subscription.paused_at is not None:
        yield Notice(
            f"Paused since {subscription.paused_at:%Y-%m-%d %H:%M} UTC: deliveries are held."
        )
    gate = Gate.objects.filter(pk=subscription.pk).first()
    if gate is not None and gate.open_until is not None:
        yield Notice(_breaker(gate))


def _breaker(gate: Gate) -> str:
    since = f" since {gate.failing_since:%Y-%m-%d %H:%M} UTC" if gate.failing_since else ""
    told = f"The breaker is open: {gate.failures} failures in a row{since}."
    if gate.open_until is not None and gate.open_until > timezone.now():
        return f"{told} The next try is at {gate.open_until:%H:%M:%S} UTC."
    return f"{told} The next delivery is the try."
