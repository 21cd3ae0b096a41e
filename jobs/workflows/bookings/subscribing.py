"""Which event starts which of these workflows: subscriptions of the platform, for all companies."""

from collections.abc import Mapping
from typing import Any

from subscriptions.models import Subscription
from subscriptions.services import create_subscription

# What is told late must not undo what was told after it.
IN_ORDER: Mapping[str, str] = {"appointment": "payload", "changed_at": "timestamp"}

STARTS: Mapping[str, tuple[str, Mapping[str, str] | None]] = {
    "appointment.created": ("bookings/appointment-created", IN_ORDER),
    "appointment.updated": ("bookings/appointment-created", IN_ORDER),
    "appointment.cancelled": ("bookings/appointment-cancelled", IN_ORDER),
    "appointment.reminder": ("bookings/appointment-reminder", None),
    "booking.created": ("bookings/booking-created", None),
    "payment.failed": ("bookings/payment-failed", None),
    "report.generated": ("bookings/report-generated", None),
    "report.ready": ("bookings/report-ready", None),
    "stripe.invoice.payment_failed": ("bookings/stripe-invoice-payment-failed", None),
    "user.invited": ("bookings/user-invited", None),
}


class SubscribedTwice(Exception):
    """A company's events would start each workflow twice; the text names whose is there."""


def subscribe(*, company: str | None = None) -> list[str]:
    """Create the subscriptions that are not there yet, of one company or of the platform; return
    their names. One that is there stays as it is: somebody may have paused or changed it.

    Raises SubscribedTwice if the platform has them for all companies, or if a company has its own.
    """
    _check_others(company)
    names = {f"bookings: {event_type}": event_type for event_type in STARTS}
    there = Subscription.objects.filter(company=company, name__in=names)
    known = set(there.values_list("name", flat=True))
    missing = [name for name in names if name not in known]
    for name in missing:
        _create(name, names[name], company)
    return missing


def _check_others(company: str | None) -> None:
    named = Subscription.objects.filter(name__in=[f"bookings: {name}" for name in STARTS])
    if company is not None and named.filter(company=None).exists():
        raise SubscribedTwice(
            "the platform has these subscriptions for all companies: delete those first"
        )
    own = named.exclude(company=None).order_by("company").values_list("company", flat=True)
    if company is None and (found := list(own.distinct()[:5])):
        raise SubscribedTwice(
            f"{', '.join(map(str, found))} has subscriptions of its own, and would be told twice:"
            " delete those first, or name a company"
        )


def _create(name: str, event_type: str, company: str | None) -> None:
    workflow, mapping = STARTS[event_type]
    config: dict[str, Any] = {"workflow": workflow}
    if mapping is not None:
        config["input"] = dict(mapping)
    create_subscription(
        name=name,
        company=company,
        event_type=event_type,
        handler_type="WORKFLOW",
        config=config,
    )
