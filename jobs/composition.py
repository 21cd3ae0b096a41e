"""How a workflow function puts steps side by side."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from jobs.errors import DefinitionError
from jobs.plan import Chain, Group, Node, references
from jobs.symbols import Symbol
from jobs.tracing import Trace, caller, tracing_for
from jobs.unnoticed import check_source

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
    trace = tracing_for("parallel()")
    if len(branches) < 2:
        raise DefinitionError(
            f"{caller()}: parallel() takes two branches or more; call the step itself"
        )
    calls = [_taken(trace, branch) for branch in branches if isinstance(branch, Symbol)]
    _check_independent(trace, calls)
    trace.items[:] = [item for item in trace.items if not any(item is call for call in calls)]
    chains, outputs, remaining = [], [], iter(calls)
    for branch in branches:
        if isinstance(branch, Symbol):
            chains.append(Chain((next(remaining),)))
            outputs.append(branch)
        else:
            chain, output = _branch(trace, branch)
            chains.append(chain)
            outputs.append(output)
    trace.items.append(Group(trace.unique(trace.numbered("parallel")), tuple(chains)))
    return tuple(outputs)


def _branch(trace: Trace, function: Any) -> tuple[Chain, Any]:
    """Read a branch of several steps."""
    if not callable(function):
        raise DefinitionError(
            f"{caller()}: parallel() takes calls of steps and functions of no arguments,"
            f" not {function!r}"
        )
    check_source(function)
    with trace.branch() as items:
        output = function()
    if not items:
        raise DefinitionError(
            f"{caller()}: a branch of parallel() calls no step: call one in it, or leave it out"
        )
    return Chain(tuple(items)), output


def _check_independent(trace: Trace, calls: list[Node]) -> None:
    """Refuse branches that something before the group, or each other, needs."""
    inside = {call.name for call in calls}
    for item in _all_nodes(trace.items):
        if used := inside.intersection(item.needs):
            together = item.name in inside
            raise DefinitionError(
                f"{caller()}: {item.name} uses {', '.join(sorted(used))}, which is a branch of this"
                f" parallel(){', so they cannot run side by side' if together else ''}; write"
                f" {'both as one branch' if together else 'the branch as a function'}:"
                " parallel(lambda: …, …)"
            )


def _taken(trace: Trace, symbol: Symbol) -> Node:
    names = list(references(symbol._expression))
    for item in _free(trace.items):
        if isinstance(item, Node) and names == [item.name] and not symbol._expression["path"]:
            return item
    raise DefinitionError(
        f"{caller()}: {symbol!r} is no call made for this parallel(); pass the call itself, as in"
        " parallel(a(x), b(y)), or a function of no arguments"
    )


def _free(items: list[Node | Group]) -> Iterator[Node | Group]:
    """Yield what no `when` guards: that cannot leave its block."""
    guarded = 0
    for item in items:
        if not guarded:
            yield item
        guarded = max(0, guarded - 1)
        if isinstance(item, Node):
            guarded += item.span


def _all_nodes(items: list[Node | Group]) -> Iterator[Node]:
    for item in items:
        if isinstance(item, Node):
            yield item
        else:
            for branch in item.branches:
                yield from _all_nodes(list(branch.items))
