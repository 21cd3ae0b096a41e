"""`beat/second`: one step, every second; what two dead beats missed is caught up."""

from datetime import datetime, timedelta

from pydantic import BaseModel

from jobs import Context, Every, step, workflow


class Second(BaseModel):
    scheduled_for: datetime | None = None


@step(name="beat-note")
def note(ctx: Context, second: Second) -> datetime | None:
    return second.scheduled_for


@workflow(
    name="beat/second",
    schedule=Every(seconds=1, overlap="allow", catch_up=timedelta(minutes=2)),
)
def every_second(second: Second) -> datetime | None:
    return note(second)
