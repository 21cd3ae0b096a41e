"""Symbolic values: what a workflow function sees instead of real ones while it is read, once, at
import.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NoReturn

from pydantic import BaseModel
from pydantic.errors import PydanticUserError

from jobs import shapes
from jobs.errors import DefinitionError, InvalidInput, InvalidOutput
from jobs.plan import Expression
from jobs.tracing import caller, current
from jobs.values import Codec


def _refusal(what: str, remedy: str) -> Callable[..., Any]:
    def refuse(self: "Symbol", *_: Any, **__: Any) -> NoReturn:
        raise DefinitionError(
            f"{caller()}: {what} of {self!r} is not known while the workflow is read, before"
            f" any step ran;"
            f" {remedy}"
        )

    return refuse


class Symbol:
    """A value that a node will produce; it has fields and items, and nothing else.

    `_annotation` is its type as far as it is known, and `_absent` names the nodes for whose sake it
    may be None outside of them: the `when` around it, or a step that goes on after its failure.
    """

    __slots__ = ("_absent", "_annotation", "_expression")

    _absent: frozenset[str]
    _annotation: Any
    _expression: Expression

    def __init__(
        self, expression: Expression, annotation: Any = Any, absent: frozenset[str] = frozenset()
    ) -> None:
        object.__setattr__(self, "_expression", expression)
        object.__setattr__(self, "_annotation", annotation)
        object.__setattr__(self, "_absent", absent)

    def _child(self, key: str | int, *, is_attribute: bool) -> "Symbol":
        try:
            known, annotation = shapes.child(self._annotation, key, is_attribute=is_attribute)
        except shapes.NoSuchField as error:
            taken = f"{self!r}.{key}" if is_attribute else f"{self!r}[{key!r}]"
            raise DefinitionError(
                f"{caller()}: there is no {taken}: {error}; compute what is not in the data with"
                " transform(), or inside a step"
            ) from error
        path = [*self._expression["path"], known]
        return Symbol({**self._expression, "path": path}, annotation, self._absent)

    def __getattr__(self, name: str) -> "Symbol":
        if name.startswith("_"):
            raise AttributeError(name)
        return self._child(name, is_attribute=True)

    def __getitem__(self, key: Any) -> "Symbol":
        if type(key) not in (str, int):
            raise DefinitionError(
                f"{caller()}: {self!r}[{key!r}]: only a field's name or a list's index can be"
                f" taken;"
                " slice with transform() or inside a step"
            )
        return self._child(key, is_attribute=False)

    def __repr__(self) -> str:
        origin = self._expression.get("$ref") or self._expression.get("$input")
        return f"<{'.'.join(map(str, [origin, *self._expression['path']]))}>"

    _in_step = "compute it with transform(), or inside a step, which sees the real value"
    __bool__ = _refusal("the truth", "decide with `with when(value, predicate):` or inside a step")
    __iter__ = _refusal("the length", "loop with each(items, step), or inside a step")
    __len__ = __contains__ = __reversed__ = __iter__
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refusal(
        "a comparison", "compare in the predicate of when(value, predicate), or inside a step"
    )
    __hash__ = _refusal("the hash", "look it up with transform(), or inside a step")
    __str__ = __format__ = __int__ = __float__ = __index__ = __complex__ = __bytes__ = _refusal(
        "the text or number", _in_step
    )
    __call__ = _refusal("a call", "take fields and items only, and call methods in transform()")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refusal("arithmetic", _in_step)
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __add__
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __divmod__ = __rdivmod__ = __add__
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = __xor__ = __rxor__ = __add__
    __or__ = __ror__ = __and__ = __rand__ = __add__
    __neg__ = __pos__ = __abs__ = __invert__ = __round__ = __add__
    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _refusal(
        "a change", "a step returns the changed value instead"
    )
    __enter__ = __exit__ = _refusal("a context", "enter it inside a step")
    __copy__ = __deepcopy__ = __reduce_ex__ = _refusal("a copy", "pass the value itself")


def express(value: Any, codec: Codec, *, what: str) -> Expression:
    """Return the expression of an argument that the codec's type takes.

    A value without symbols is checked and encoded now. Raises `DefinitionError` for what does not
    fit; `what` names the place, without file and line.
    """
    if not holds_symbol(value):
        try:
            return {"$value": codec.encode(value, what=what)}
        except InvalidOutput as error:
            raise DefinitionError(f"{caller()}: {error}") from error
    return _express(value, codec.annotation, what)


def _express(value: Any, annotation: Any, what: str) -> Expression:
    if isinstance(value, Symbol):
        if lacking := absence(value):
            check_none_fits(value, annotation, lacking, what)
        return value._expression
    if holds_symbol(value):
        value = _open(value)
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise DefinitionError(f"{caller()}: a dict with symbolic values takes text keys only")
        return {
            "$dict": {
                key: _express(item, _inner(annotation, key), f"{what}[{key!r}]")
                for key, item in value.items()
            }
        }
    if isinstance(value, list | tuple) and holds_symbol(value):
        return {
            "$list": [
                _express(item, _inner(annotation, index), f"{what}[{index}]")
                for index, item in enumerate(value)
            ]
        }
    return {"$value": _beside(value, what)}


def _inner(annotation: Any, key: str | int) -> Any:
    try:
        return shapes.child(annotation, key, is_attribute=False)[1]
    except shapes.NoSuchField:
        return Any


def _beside(value: Any, what: str) -> Any:
    try:
        return Codec(Any).encode(value, what=what)
    except (InvalidOutput, ValueError) as error:
        raise DefinitionError(
            f"{caller()}: {what}: {value!r} beside a symbolic value has no JSON form ({error});"
            " make it in a step instead"
        ) from error


def holds_symbol(value: Any) -> bool:
    value = _open(value)
    if isinstance(value, dict):
        return any(map(holds_symbol, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_symbol, value))
    return isinstance(value, Symbol)


def _open(value: Any) -> Any:
    """Return a dataclass or model as a dict of its fields, anything else as it is."""
    if isinstance(value, BaseModel):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value


def absence(value: Symbol) -> list[str]:
    """Return the nodes for whose sake the value may be None at this place of the workflow."""
    trace = current()
    return sorted(value._absent - (trace.open if trace else frozenset()))


def check_none_fits(value: Symbol, annotation: Any, lacking: list[str], what: str) -> None:
    """Refuse a value that may be None where None is not accepted."""
    if accepts_none(annotation):
        return
    raise DefinitionError(
        f"{caller()}: {what} does not accept None, which {value!r} is where {', '.join(lacking)}"
        f" did not run or failed; accept it (`{shapes.name_of(annotation)} | None`), or use the"
        " value inside the same `with when(…):`"
    )


def accepts_none(annotation: Any) -> bool:
    """Whether None validates; True where a forward reference leaves it open."""
    try:
        Codec(annotation).decode(None, what="")
    except InvalidInput:
        return False
    except PydanticUserError:
        return True
    return True
