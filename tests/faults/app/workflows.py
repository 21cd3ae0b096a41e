"""The seed's workflows and the few steps that they are made of; loaded by the worker processes."""

import time
from typing import Any

from jobs import Context, Done, PermanentFailure, Skip, parallel, step, workflow
from tests.faults.app import bombs, clock, environment, journal
from tests.faults.behaviours import (
    ATTEMPTS,
    FREEZE,
    Behaviour,
    output_of,
    plan,
    undo_of,
)
from tests.faults.shapes import WORKFLOWS, Call, Sequence, Shape, shape

OPTIONS: dict[str, Any] = {
    "attempts": ATTEMPTS,
    "backoff": 0.05,
    "backoff_factor": 1.0,
    "jitter": False,
}
OTHER_QUEUE = "workflows"


class Planned(Exception):
    """The failure that the plan asked for."""


def act(ctx: Context, values: list[Any]) -> Any:
    """Do what the plan says for this attempt and write it down."""
    doing = plan(environment.seed(), ctx.input).nodes[ctx.step]
    journal.write(ctx, "started", values)
    death = doing.deaths.get(ctx.attempt)
    _die_at(death, "start")
    undo = undo_of(ctx.input, ctx.step, ctx.attempt)
    if doing.saves:
        journal.write(ctx, "saving", undo)
        ctx.undo_with(undo)
        journal.write(ctx, "saved", undo)
    _die_at(death, "saved")
    time.sleep(doing.work_seconds)
    if death == FREEZE:
        bombs.freeze()
    if ctx.attempt <= doing.failures:
        journal.write(ctx, "failing")
        raise Planned(f"attempt {ctx.attempt} of {doing.failures} that fail")
    return _end(ctx, doing, death, output_of(ctx.input, ctx.step, values), undo)


def _end(ctx: Context, doing: Behaviour, death: str | None, output: int, undo: int) -> Any:
    if doing.ending == "skip":
        raise Skip("as planned")
    if doing.ending == "permanent":
        raise PermanentFailure("as planned")
    if doing.ending == "permanent-undo":
        journal.write(ctx, "saving", undo)
        raise PermanentFailure("as planned", undo=undo)
    if doing.ending == "done":
        journal.write(ctx, "saving", undo)
    journal.write_effect(ctx)
    journal.write(ctx, "returning", output)
    _die_at(death, "end")
    if death is not None and "-" in death:
        bombs.arm(death)
    return Done(output, undo=undo) if doing.ending == "done" else output


def _die_at(death: str | None, point: str) -> None:
    if death == point:
        bombs.die()


@step(name="fault-plain", **OPTIONS)
def plain(ctx: Context, values: list[int | None]) -> int:
    return act(ctx, values)  # type: ignore[no-any-return]  # or Done, as all of these


@step(name="fault-undoable", **OPTIONS)
def undoable(ctx: Context, values: list[int | None]) -> int:
    return act(ctx, values)  # type: ignore[no-any-return]


@undoable.compensation
def undo_undoable(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="fault-far", queue=OTHER_QUEUE, **OPTIONS)
def far(ctx: Context, values: list[int | None]) -> int:
    return act(ctx, values)  # type: ignore[no-any-return]


@far.compensation
def undo_far(ctx: Context, data: int) -> None:
    act(ctx, [data])


STEPS: dict[str, Any] = {"plain": plain, "undoable": undoable, "far": far}


def define(made: Shape) -> None:
    """Define the workflow of a shape."""

    @workflow(name=made.name, queue="orders")
    def body(number: int) -> list[int | None]:
        known: dict[str, Any] = {}
        _trace(made.body, known)
        return [known[node] for node in made.results]


def _trace(sequence: Sequence, known: dict[str, Any]) -> Any:
    last = None
    for item in sequence.items:
        if isinstance(item, Call):
            last = known[item.node] = _trace_call(item, known)
            continue
        branches = [lambda branch=branch: _trace(branch, known) for branch in item.branches]
        last = parallel(*branches)[-1]
    return last


def _trace_call(call: Call, known: dict[str, Any]) -> Any:
    return STEPS[call.kind].options(name=call.node)([known[node] for node in call.uses])


clock.set_apart()
bombs.install()
for _index in range(WORKFLOWS):
    define(shape(environment.seed(), _index))
