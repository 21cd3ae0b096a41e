"""The seed's workflows and the few steps that they are made of; loaded by the worker processes."""

from datetime import timedelta
from typing import Any, Unpack

from celery import chain, group, shared_task

from jobs import Context, Debounce, Limit, Rate, attach, step, workflow
from jobs.keywords import WorkflowKeywords
from tests.faults import fixed
from tests.faults.app import bombs, clock, environment
from tests.faults.app.acting import act
from tests.faults.app.tracing import trace
from tests.faults.behaviours import ATTEMPTS
from tests.faults.drawing import shape
from tests.faults.numbers import number_of
from tests.faults.shapes import (
    CHILD,
    CUTTING,
    EACH,
    FEW,
    HOOKED,
    LIMIT,
    LISTER,
    PIVOT,
    RATE,
    RATE_SECONDS,
    RATED,
    RUNS_AT_ONCE,
    URGENT,
    WORKFLOWS,
    Shape,
)
from tests.faults.values import items_of, task_output

OPTIONS: dict[str, Any] = {
    "attempts": ATTEMPTS,
    "backoff": 0.05,
    "backoff_factor": 1.0,
    "max_backoff": 0.2,
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


@step(name="fault-rated", rate=Rate(RATE, per=timedelta(seconds=RATE_SECONDS)), **OPTIONS)
def rated(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@step(name="fault-recalling", **OPTIONS)
def recalling(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values, recalls=True)


@step(name="fault-cutting", on_failure="skip_rest", **OPTIONS)
def cutting(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@cutting.compensation
def undo_cutting(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="fault-pivot", pivot=True, **OPTIONS)
def pivot(ctx: Context, values: list[Any]) -> int:
    return act(ctx, values)


@step(name="fault-hooked", **OPTIONS)
def hooked(ctx: Context, value: Any) -> int:
    return act(ctx, [value])


@hooked.compensation
def undo_hooked(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="fault-lister", **OPTIONS)
def lister(ctx: Context, values: list[Any]) -> list[int]:
    return act(ctx, values, output=items_of(number_of(ctx.input), ctx.step))


@step(name="fault-item", **OPTIONS)
def item(ctx: Context, one: int, values: list[Any]) -> int:
    return act(ctx, [one, *values])


@item.compensation
def undo_item(ctx: Context, data: int) -> None:
    act(ctx, [data])


# Of the canvas by hand: named like their nodes.


@shared_task(name="h1")
def first(number: int) -> int:
    return task_output("h1", number)


@shared_task(name="h2")
def beside(value: int) -> int:
    return task_output("h2", value)


@step(name="h3", **OPTIONS)
def by_hand(ctx: Context, value: int) -> int:
    return act(ctx, [value])


@by_hand.compensation
def undo_by_hand(ctx: Context, data: int) -> None:
    act(ctx, [data])


@step(name="h4", **OPTIONS)
def by_hand_too(ctx: Context, value: int | None) -> int:
    return act(ctx, [value])


@by_hand_too.compensation
def undo_by_hand_too(ctx: Context, data: int) -> None:
    act(ctx, [data])


@shared_task(name="h5")
def last(values: list[int]) -> int:
    return task_output("h5", values)


STEPS: dict[str, Any] = {
    "plain": plain,
    "undoable": undoable,
    "far": far,
    "atomic": atomic,
    "continuing": continuing,
    "limited": limited,
    "rated": rated,
    "recalling": recalling,
    CUTTING: cutting,
    PIVOT: pivot,
    LISTER: lister,
    EACH: item,
}
SPECIAL: dict[int, WorkflowKeywords] = {
    URGENT: {"priority": 5},
    FEW: {"concurrency": Limit(RUNS_AT_ONCE)},
    RATED: {"rate": Rate(RATE, per=timedelta(seconds=RATE_SECONDS))},
}


def define_child(made: Shape) -> None:
    """Define the workflow of the child runs, whose input is a list: see `numbers.number_of`."""

    @workflow(name=made.name, queue="orders")
    def body(parent: list[Any]) -> list[Any]:
        known = trace(made.body, STEPS, parent[0])
        return [known[node] for node in made.results]

    STEPS[CHILD] = body
    _attach(made)


def define(made: Shape, **options: Unpack[WorkflowKeywords]) -> None:
    """Define the workflow of a shape."""

    @workflow(name=made.name, queue="orders", **options)
    def body(number: int) -> list[Any]:
        known = trace(made.body, STEPS, number)
        return [known[node] for node in made.results]

    _attach(made)


def _attach(made: Shape) -> None:
    for call in made.calls:
        if call.kind == HOOKED:
            attach(hooked, workflow=made.name, hook=call.node)


clock.set_apart()
bombs.install()
define_child(shape(environment.seed(), WORKFLOWS))
for _index in range(WORKFLOWS):
    define(shape(environment.seed(), _index), **SPECIAL.get(_index, {}))
define(fixed.SINGLE, singleton=fixed.key_of)
define(fixed.DEBOUNCED, debounce=Debounce(fixed.QUIET, key=fixed.key_of))
workflow(
    name=fixed.HAND.name,
    queue="orders",
    canvas=chain(first.s(), group(beside.s(), chain(by_hand.s(), by_hand_too.s())), last.s()),
)
