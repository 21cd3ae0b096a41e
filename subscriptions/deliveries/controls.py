"""An operator's levers on a subscription: hold its deliveries, and let them go."""

from django.db.models.functions import Now

from subscriptions.models import Subscription
from subscriptions.statements import execute

LET_GO = """
UPDATE event_system_delivery d SET status = 'pending', due_at = clock_timestamp()
WHERE d.subscription_id = %s AND d.status = 'held'
"""


def pause(subscription_id: int) -> bool:
    """Hold what would be delivered from now on; return whether it was not paused before.

    Events are matched and kept: for 30 days, after which they expire.
    """
    rows = Subscription.objects.filter(pk=subscription_id, paused_at=None)
    return bool(rows.update(paused_at=Now()))


def resume(subscription_id: int) -> int:
    """Deliver again, in the order of the events; return how many deliveries were let go.

    What a worker is just holding back follows within a second.
    """
    Subscription.objects.filter(pk=subscription_id).update(paused_at=None)
    return execute(LET_GO, [subscription_id])
