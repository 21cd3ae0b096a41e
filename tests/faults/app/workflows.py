"""The seed's workflows and the few steps that they are made of; loaded by the worker processes."""

from typing import Any

from jobs import Context, Limit, step, workflow
from tests.faults.app import bombs, clock, environment
from tests.faults.app.acting import act
from tests.faults.app.tracing import trace
from tests.faults.behaviours import ATTEMPTS
from tests.faults.shapes import EACH, LIMIT, LISTER, WORKFLOWS, Shape, shape
from tests.faults.values import items_of

OPTIONS: dict[str, Any] = {
    "attempts": ATTEMPTS,
    "backoff": 0.05,
    "backoff_factor": 1.0,
    "jitter": False,
}
OTHER_QUEUE = "workflows"


@step(name="fault-plain", **OPTIONS)
def plain(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@step(name="fault-undoable", **OPTIONS)
def undoable(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@undoable.compensation
def undo_undoable(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="fault-far", queue=OTHER_QUEUE, **OPTIONS)
def far(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@far.compensation
def undo_far(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="fault-atomic", atomic=True, **OPTIONS)
def atomic(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@atomic.compensation
def undo_atomic(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="fault-continuing", on_failure="continue", **OPTIONS)
def continuing(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@continuing.compensation
def undo_continuing(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="fault-limited", concurrency=Limit(LIMIT), **OPTIONS)
def limited(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@step(name="fault-lister", **OPTIONS)
def lister(ctx: Context, values: list[Any]) -> list[int]:
    return act(ctx, values, output=items_of(ctx.input, ctx.step))


@step(name="fault-item", **OPTIONS)
def item(ctx: Context, one: int, values: list[Any]) -> int:
    return act(ctx, [one, *values])


@item.compensation
def undo_item(ctx: Context, data: int) -> None:
    act(ctx, [data])


STEPS: dict[str, Any] = {
    "plain": plain,
    "undoable": undoable,
    "far": far,
    "atomic": atomic,
    "continuing": continuing,
    "limited": limited,
    LISTER: lister,
    EACH: item,
}


def define(made: Shape) -> None:
    """Define the workflow of a shape."""

    @workflow(name=made.name, queue="orders")
    def body(number: int) -> list[Any]:
        known = trace(made.body, STEPS, number)
        return [known[node] for node in made.results]


clock.set_apart()
bombs.install()
for _index in range(WORKFLOWS):
    define(shape(environment.seed(), _index))
