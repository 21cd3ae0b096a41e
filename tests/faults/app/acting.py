"""What every step does: follow the plan, and write down that it did."""

import time
from functools import partial
from typing import Any, TypeVar, overload

from jobs import Context, Done, PermanentFailure, Skip
from tests.faults.app import bombs, environment, journal
from tests.faults.app.events import Told
from tests.faults.behaviours import FREEZE, NAMED, STATEMENTS, Behaviour, plan
from tests.faults.values import output_of, undo_of

T = TypeVar("T")


class Planned(Exception):
    """The failure that the plan asked for."""


@overload
def act(ctx: Context, values: list[Any]) -> int: ...
@overload
def act(ctx: Context, values: list[Any], *, output: T) -> T: ...
def act(ctx: Context, values: list[Any], *, output: Any = None) -> Any:
    """Do what the plan says for this attempt; return its output, or `Done` of it with undo data."""
    doing = plan(environment.seed(), ctx.input).nodes[ctx.step]
    journal.write(ctx, "started", values)
    death = doing.deaths.get(ctx.attempt)
    _die_at(death, "start")
    if doing.saves:
        _save(ctx)
    if doing.publishes:
        ctx.publish(Told(number=ctx.input, node=ctx.step))
    _die_at(death, "saved")
    if death == FREEZE:
        bombs.freeze(partial(journal.has_later_attempt, ctx))
    else:
        time.sleep(doing.work_seconds)
    if ctx.attempt <= doing.failures:
        journal.write(ctx, "failing")
        raise Planned(f"attempt {ctx.attempt} of {doing.failures} that fail")
    if output is None:
        output = output_of(ctx.input, ctx.step, values)
    return _end(ctx, doing, death, output)


def _save(ctx: Context) -> None:
    undo = undo_of(ctx.input, ctx.step, ctx.attempt)
    journal.write(ctx, "saving", undo)
    ctx.undo_with(undo)
    journal.write(ctx, "saved", undo)


def _end(ctx: Context, doing: Behaviour, death: str | None, output: Any) -> Any:
    undo = undo_of(ctx.input, ctx.step, ctx.attempt)
    if doing.ending == "skip":
        raise Skip("as planned")
    if doing.ending == "permanent":
        raise PermanentFailure("as planned")
    if doing.ending in ("done", "permanent-undo"):
        journal.write(ctx, "saving", undo)
    if doing.ending == "permanent-undo":
        raise PermanentFailure("as planned", undo=undo)
    journal.write_effect(ctx)
    journal.write(ctx, "returning", output)
    _die_at(death, "end")
    if death in STATEMENTS or death in NAMED:
        bombs.arm(death)
    return Done(output, undo=undo) if doing.ending == "done" else output


def _die_at(death: str | None, point: str) -> None:
    if death == point:
        bombs.die()
