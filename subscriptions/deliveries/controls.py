"""An operator's levers on a subscription: hold its deliveries, and let them go."""

from django.db.models.functions import Now

from subscriptions.models import Delivery, Subscription


def pause(subscription_id: int) -> bool:
    """Hold what would be delivered from now on; return whether it was not paused before.

    Events are matched and kept: for 30 days, after which they expire.
    """
    rows = Subscription.objects.filter(pk=subscription_id, paused_at=None)
    return bool(rows.update(paused_at=Now()))


def resume(subscription_id: int) -> int:
    """Deliver again, in the order of the events; return how many deliveries are let go.

    They follow in pages, the first within a second: many would hold up those of others.
    """
    Subscription.objects.filter(pk=subscription_id).update(paused_at=None)
    return Delivery.objects.filter(
        subscription_id=subscription_id, status=Delivery.Status.HELD
    ).count()
