"""Events that the platform publishes about itself."""

from pydantic import BaseModel

from subscriptions.contracts import event


@event("subscription.disabled", version=1)
class SubscriptionDisabled(BaseModel):
    """A subscription was switched off by the platform; `reason` says why."""

    subscription_id: int
    name: str
    reason: str
