"""Definitions whose annotations are postponed, with the context under another name."""

from __future__ import annotations

from pydantic import BaseModel

import jobs as engine


class Parcel(BaseModel):
    number: int
    inner: Parcel | None = None


@engine.step(name="postponed-number")
def number(ctx: engine.Context, parcel: Parcel) -> int:
    return parcel.number


@number.compensation
def undo(ctx: engine.Context, number: int) -> None:
    return None


@engine.workflow(name="postponed/workflow")
def postponed(parcel: Parcel) -> int:
    return number(parcel)
