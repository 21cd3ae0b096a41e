"""How a workflow function puts steps side by side."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from jobs.errors import DefinitionError
from jobs.plan import Chain, Group, Node, references
from jobs.tracing import Symbol, Trace, caller, current

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


# One overload for each mix of calls and functions: of `A | Callable[[], A]` mypy infers Never.
@overload
def parallel(a: Callable[[], A], b: Callable[[], B], /) -> tuple[A, B]: ...
@overload
def parallel(a: Callable[[], A], b: B, /) -> tuple[A, B]: ...
@overload
def parallel(a: A, b: Callable[[], B], /) -> tuple[A, B]: ...
@overload
def parallel(a: A, b: B, /) -> tuple[A, B]: ...
@overload
def parallel(a: Callable[[], A], b: Callable[[], B], c: Callable[[], C], /) -> tuple[A, B, C]: ...
@overload
def parallel(a: Callable[[], A], b: Callable[[], B], c: C, /) -> tuple[A, B, C]: ...
@overload
def parallel(a: Callable[[], A], b: B, c: Callable[[], C], /) -> tuple[A, B, C]: ...
@overload
def parallel(a: Callable[[], A], b: B, c: C, /) -> tuple[A, B, C]: ...
@overload
def parallel(a: A, b: Callable[[], B], c: Callable[[], C], /) -> tuple[A, B, C]: ...
@overload
def parallel(a: A, b: Callable[[], B], c: C, /) -> tuple[A, B, C]: ...
@overload
def parallel(a: A, b: B, c: Callable[[], C], /) -> tuple[A, B, C]: ...
@overload
def parallel(a: A, b: B, c: C, /) -> tuple[A, B, C]: ...
@overload
def parallel(*branches: Any) -> tuple[Any, ...]: ...
def parallel(*branches: Any) -> tuple[Any, ...]:
    """Run the branches side by side and return their outputs in that order.

    A branch of one step is its call, `parallel(a(x), b(y))`; one of several steps is a function of
    no arguments, `parallel(lambda: b(a(x)), c(y))`. Raises `DefinitionError` at import.
    """
    trace = current()
    if trace is None:
        raise DefinitionError(f"{caller()}: parallel() belongs inside a workflow function")
    if len(branches) < 2:
        raise DefinitionError(
            f"{caller()}: parallel() takes two branches or more; call the step itself"
        )
    calls = [_taken(trace, branch) for branch in branches if isinstance(branch, Symbol)]
    trace.items[:] = [item for item in trace.items if not any(item is call for call in calls)]
    inside = {call.name for call in calls}
    for item in _all_nodes(trace.items):
        if used := inside.intersection(item.needs):
            raise DefinitionError(
                f"{caller()}: {item.name} uses {', '.join(sorted(used))}, which is a branch of this"
                " parallel(); write the branch as a function: parallel(lambda: …, …)"
            )
    for call in calls:
        if used := inside.intersection(call.needs):
            raise DefinitionError(
                f"{caller()}: branch {call.name} uses branch {', '.join(sorted(used))}, so"
                f" they cannot run"
                " side by side; write both as one branch: parallel(lambda: …, …)"
            )
    chains, outputs, remaining = [], [], iter(calls)
    for branch in branches:
        if isinstance(branch, Symbol):
            chains.append(Chain((next(remaining),)))
            outputs.append(branch)
            continue
        if not callable(branch):
            raise DefinitionError(
                f"{caller()}: parallel() takes calls of steps and functions of no arguments,"
                f" not {branch!r}"
            )
        with trace.branch() as items:
            outputs.append(branch())
        if not items:
            raise DefinitionError(f"{caller()}: a branch of parallel() calls no step")
        chains.append(Chain(tuple(items)))
    trace.groups += 1
    trace.items.append(Group(f"parallel-{trace.groups}", tuple(chains)))
    return tuple(outputs)


def _taken(trace: Trace, symbol: Symbol) -> Node:
    names = list(references(symbol._expression))
    for item in trace.items:
        if isinstance(item, Node) and names == [item.name] and not symbol._expression["path"]:
            return item
    raise DefinitionError(
        f"{caller()}: {symbol!r} is no call made for this parallel(); pass the call itself, as in"
        " parallel(a(x), b(y)), or a function of no arguments"
    )


def _all_nodes(items: list[Node | Group]) -> Iterator[Node]:
    for item in items:
        if isinstance(item, Node):
            yield item
        else:
            for branch in item.branches:
                yield from _all_nodes(list(branch.items))
