"""Pure functions of earlier values in a workflow: `transform`, and the predicates of `when`."""

from collections.abc import Callable
from types import NoneType
from typing import Any, Generic, TypeVar, cast, overload

from jobs import shapes
from jobs.addresses import Function, register
from jobs.errors import DefinitionError
from jobs.plan import Expression, Group, Kind, Node
from jobs.symbols import Symbol, absence, express
from jobs.tracing import Trace, caller, tracing_for

NO_BLOCK = "when() opens a block: write `with when(value, predicate):` and call the steps inside it"

R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


@overload
def transform(fn: Callable[[], R], /) -> R: ...
@overload
def transform(fn: Callable[[A], R], a: A, /) -> R: ...
@overload
def transform(fn: Callable[[A, B], R], a: A, b: B, /) -> R: ...
@overload
def transform(fn: Callable[[A, B, C], R], a: A, b: B, c: C, /) -> R: ...
@overload
def transform(fn: Callable[[A, B, C, D], R], a: A, b: B, c: C, d: D, /) -> R: ...
@overload
def transform(fn: Callable[..., R], a: Any, b: Any, c: Any, d: Any, e: Any, /, *more: Any) -> R: ...
def transform(fn: Callable[..., R], /, *values: Any) -> R:
    """Compute a value of the run from earlier ones with a pure function; recorded, no message.

    The function is given the values in their types, by position. Raises `DefinitionError` at
    import.
    """
    trace = tracing_for("transform()")
    known, expressions = _expressed("transform()", fn, values)
    name = fn.__name__ if fn.__name__.isidentifier() else trace.numbered("transform")
    inputs = {str(index): expression for index, expression in enumerate(expressions)}
    node = trace.add(name, known.address, inputs, kind=Kind.TRANSFORM)
    return cast(R, Symbol({"$ref": node, "path": []}, known.output.annotation, trace.open))


def _expressed(
    what: str, fn: Any, values: tuple[Any, ...], *, is_predicate: bool = False
) -> tuple[Function, list[Expression]]:
    """Register the function for these values and return it with their expressions."""
    if isinstance(fn, Symbol):
        raise DefinitionError(
            f"{caller()}: {what} takes a function; {fn!r} is a value, and comes after it"
        )
    given = list(map(_type_of, values))
    known = register(fn, given, is_predicate=is_predicate)
    codecs = [known.codec(index) for index in range(len(values))]
    return known, [
        express(value, codec, what=f"{what}, value {index + 1}")
        for index, (value, codec) in enumerate(zip(values, codecs, strict=True))
    ]


def _type_of(value: Any) -> Any:
    """Return what an unannotated parameter is given: None too where the value may be that."""
    if not isinstance(value, Symbol):
        return Any
    if value._annotation is Any or not absence(value):
        return value._annotation
    return shapes.union([value._annotation, NoneType])


class When(Generic[A]):
    """The block of a `with when(…)`: entered once while the workflow is read."""

    def __init__(self, trace: Trace, address: str, value: Expression) -> None:
        self._trace = trace
        self._address = address
        self._value = value
        self._where = caller()
        trace.unentered.append(self._where)

    def __bool__(self) -> bool:
        raise DefinitionError(f"{caller()}: {NO_BLOCK}")

    def __enter__(self) -> None:
        trace = self._trace
        trace.unentered.remove(self._where)
        self._outer, trace.items = trace.items, []
        self._open = trace.open
        self.name = trace.unique(trace.numbered("when"))
        trace.open |= {self.name}

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        inside, self._trace.items = self._trace.items, self._outer
        self._trace.open = self._open
        if kind is not None:
            return
        if not inside:
            raise DefinitionError(
                f"{self._where}: the block of when() calls no step: call the steps inside it"
            )
        self._trace.items += self._guarded(inside)

    def _guarded(self, inside: list[Node | Group]) -> list[Node | Group]:
        guard = Node(
            self.name, self._address, {"value": self._value}, kind=Kind.WHEN, span=len(inside)
        )
        return [guard, *inside]


def when(value: A, predicate: Callable[[A], object], /) -> When[A]:
    """Run the steps inside the `with` block only if the predicate of the value is true.

    Their values are None otherwise, and may be used behind the block only where None is accepted.
    """
    trace = tracing_for("when()")
    known, (expression,) = _expressed("when()", predicate, (value,), is_predicate=True)
    return When(trace, known.address, expression)
