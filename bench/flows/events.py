"""The event that webhooks are measured with."""

from pydantic import BaseModel

from subscriptions import event


@event("bench.happened")
class Happened(BaseModel):
    number: int
    text: str = "a text of some length, as the rows of a business have them, and a few more words"
