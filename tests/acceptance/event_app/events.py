"""The app's one event type."""

from pydantic import BaseModel

from subscriptions import event


@event("payment.received")
class PaymentReceived(BaseModel):
    order: str
    cents: int
