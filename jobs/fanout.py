"""One branch for each item of a list that is known only at run time."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast, overload

from jobs import shapes
from jobs.definitions import ChildCall, Workflow
from jobs.errors import DefinitionError
from jobs.plan import Kind
from jobs.steps import Step, StepCall
from jobs.symbols import Symbol, express
from jobs.tracing import caller, tracing_for
from jobs.values import Codec

T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

MAX_PARALLEL = 100
ITEMS = "items"  # the input that holds the list


@overload
def each(items: Iterable[T], body: Callable[[T], R], /, *, max_parallel: int = ...) -> list[R]: ...
@overload
def each(
    items: Iterable[T], body: Callable[[T, A], R], a: A, /, *, max_parallel: int = ...
) -> list[R]: ...
@overload
def each(
    items: Iterable[T], body: Callable[[T, A, B], R], a: A, b: B, /, *, max_parallel: int = ...
) -> list[R]: ...
@overload
def each(
    items: Iterable[T],
    body: Callable[[T, A, B, C], R],
    a: A,
    b: B,
    c: C,
    /,
    *,
    max_parallel: int = ...,
) -> list[R]: ...
@overload
def each(
    items: Iterable[T],
    body: Callable[[T, A, B, C, D], R],
    a: A,
    b: B,
    c: C,
    d: D,
    /,
    *,
    max_parallel: int = ...,
) -> list[R]: ...
@overload
def each(
    items: Iterable[Any],
    body: Callable[..., R],
    a: Any,
    b: Any,
    c: Any,
    d: Any,
    e: Any,
    /,
    *more: Any,
    max_parallel: int = ...,
) -> list[R]: ...
def each(
    items: Iterable[Any],
    body: Callable[..., R],
    /,
    *more: Any,
    max_parallel: int = MAX_PARALLEL,
) -> list[R]:
    """Call the step, or the workflow as a child run, once for each item; return all outputs in
    order.

    The item is the first argument, `more` are the others, the same for all. At most `max_parallel`
    run at once, over all workers. Raises `DefinitionError` at import.
    """
    trace = tracing_for("each()")
    target, name, queue, kind = _body(body)
    _check(items, target, max_parallel)
    item, codec = next(iter(target.inputs.items()))
    bound = target.bind((_Item(item), *more), {})
    inputs = {ITEMS: express(items, Codec(list[codec.annotation]), what="each(items)")}  # type: ignore[name-defined]  # computed
    inputs |= {parameter: value for parameter, value in bound.items() if parameter != item}
    extra = {"item": item, "max_parallel": max_parallel, "body": str(kind)}
    node = trace.add(name, target.name, inputs, queue=queue, kind=Kind.EACH, extra=extra)
    return cast(list[R], Symbol({"$ref": node, "path": []}, _outputs(target), trace.open))


class _Item(Symbol):
    """Stands for the item while the other arguments are bound."""

    __slots__ = ()

    def __init__(self, parameter: str) -> None:
        super().__init__({"$input": parameter, "path": []})


def _body(body: Any) -> tuple[Any, str, str | None, Kind]:
    """Return what runs for an item, its node's name and queue, and what kind of work it is."""
    if isinstance(body, Step):
        return body, body.name, None, Kind.STEP
    if isinstance(body, StepCall):
        return body.step, body.name, body.queue, Kind.STEP
    if isinstance(body, Workflow):
        return body, body.name, None, Kind.CHILD
    if isinstance(body, ChildCall):
        return body.workflow, body.name, body.queue, Kind.CHILD
    raise DefinitionError(
        f"{caller()}: each() takes a step or a workflow for the items, not {body!r}; make a"
        " @workflow of several steps, which runs once for each item"
    )


def _check(items: Any, target: Any, max_parallel: Any) -> None:
    if type(max_parallel) is not int or max_parallel < 1:
        raise DefinitionError(
            f"{caller()}: each(max_parallel={max_parallel!r}): it takes a whole number of 1 or more"
        )
    if not target.inputs:
        raise DefinitionError(
            f"{caller()}: each(): {target!r} takes no item; give it a parameter for one"
        )
    if getattr(target, "takes_list", False):
        raise DefinitionError(
            f"{caller()}: each(): {target!r} is a canvas written by hand; call it in a @workflow of"
            " one item, and give that to each()"
        )
    if ITEMS in list(target.inputs)[1:]:
        raise DefinitionError(
            f"{caller()}: each(): {target!r} has a parameter named {ITEMS!r}, which is the list's"
            " own name here; rename it"
        )
    if isinstance(items, Symbol):
        known = shapes.alternatives(items._annotation)
        if Any in known or any(map(shapes.is_array, known)):
            return
        raise DefinitionError(
            f"{caller()}: each() takes a list; {items!r} is {shapes.name_of(items._annotation)};"
            " make a list of it with transform()"
        )
    if not isinstance(items, list | tuple):
        raise DefinitionError(f"{caller()}: each() takes a list, not {items!r:.80}")


def _outputs(target: Any) -> Any:
    annotation = target.output.annotation
    options = target.options_
    if getattr(options, "on_failure", None) == "continue":
        return list[annotation | None]  # type: ignore[valid-type]  # computed
    return list[annotation]  # type: ignore[valid-type]  # computed
