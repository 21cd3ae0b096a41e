"""What every step does: follow the plan, and write down that it did."""

import secrets
import time
from functools import partial
from typing import Any, TypeVar, overload

from jobs import Context, Done, PermanentFailure, Skip
from tests.faults.app import bombs, environment, journal
from tests.faults.app.events import Told
from tests.faults.behaviours import FREEZE, NAMED, STATEMENTS, Behaviour, plan
from tests.faults.numbers import number_of
from tests.faults.values import output_of, undo_of

T = TypeVar("T")


class Planned(Exception):
    """The failure that the plan asked for."""


@overload
def act(ctx: Context, values: list[Any], *, recalls: bool = False) -> int: ...
@overload
def act(ctx: Context, values: list[Any], *, output: T, recalls: bool = False) -> T: ...
def act(ctx: Context, values: list[Any], *, output: Any = None, recalls: bool = False) -> Any:
    """Do what the plan says for this attempt; return its output, or `Done` of it with undo data.

    With `recalls` it has a sub-step, whose value every later attempt is to be given.
    """
    doing, number = behaviour(ctx), number_of(ctx.input)
    attempt = journal.attempt(ctx)
    journal.write(ctx, "started", values)
    death = doing.deaths.get(attempt)
    _die_at(death, "start")
    if recalls:
        journal.write(ctx, "recalled", ctx.run("draw", _drawn, ctx))
    if doing.saves:
        _save(ctx)
    if doing.publishes:
        ctx.publish(Told(run=str(ctx.run_id), node=ctx.step))
    _die_at(death, "saved")
    if death == FREEZE:
        bombs.freeze(partial(journal.has_later_attempt, ctx))
    else:
        time.sleep(doing.work_seconds)
    if attempt <= doing.failures:
        journal.write(ctx, "failing")
        raise Planned(f"attempt {attempt} of {doing.failures} that fail")
    if output is None:
        output = output_of(number, ctx.step, values)
    return _end(ctx, doing, death, output)


def behaviour(ctx: Context) -> Behaviour:
    """Return what the plan says of this step; of a retried or forked run it is the mended plan."""
    planned = plan(environment.seed(), number_of(ctx.input))
    return (planned.mended if journal.generation(ctx) > 1 else planned).nodes[ctx.step]


def _drawn(ctx: Context) -> int:
    value = secrets.randbelow(2**40)
    journal.write(ctx, "drawing", value)
    return value


def _save(ctx: Context) -> None:
    undo = undo_of(number_of(ctx.input), ctx.step, journal.attempt(ctx))
    journal.write(ctx, "saving", undo)
    ctx.undo_with(undo)
    journal.write(ctx, "saved", undo)


def _end(ctx: Context, doing: Behaviour, death: str | None, output: Any) -> Any:
    undo = undo_of(number_of(ctx.input), ctx.step, journal.attempt(ctx))
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
