"""The type of the good messages."""

from pydantic import BaseModel

from subscriptions import event


@event("fault.sent")
class Sent(BaseModel):
    number: int
