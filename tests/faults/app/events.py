"""The event that steps publish, to be visible if and only if their run succeeds."""

from pydantic import BaseModel

from subscriptions import event

TOLD = "fault.told"
MET = "fault.met"  # what a meeting waits for; sent straight to the run


@event(TOLD)
class Told(BaseModel):
    """Who published it."""

    run: str
    node: str
