"""Symbolic values: what a workflow function sees instead of real ones while it is read, once, at
import.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from jobs.errors import DefinitionError
from jobs.plan import Expression, Group, Node

HERE = str(Path(__file__).parent)


def caller() -> str:
    """Return `file:line` of the author's code that is being read."""
    frame = sys._getframe(1)
    while frame.f_back and Path(frame.f_code.co_filename).parent == Path(HERE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _refusal(what: str, remedy: str) -> Callable[..., Any]:
    def refuse(self: "Symbol", *_: Any) -> NoReturn:
        raise DefinitionError(
            f"{caller()}: {what} of {self!r} is not known while the workflow is read, before"
            f" any step ran;"
            f" {remedy}"
        )

    return refuse


class Symbol:
    """A value that a step will produce; it has fields and items, and nothing else."""

    __slots__ = ("_expression",)

    def __init__(self, expression: Expression) -> None:
        self._expression = expression

    def _child(self, key: str | int) -> "Symbol":
        return Symbol({**self._expression, "path": [*self._expression["path"], key]})

    def __getattr__(self, name: str) -> "Symbol":
        if name.startswith("_"):
            raise AttributeError(name)
        return self._child(name)

    def __getitem__(self, key: Any) -> "Symbol":
        if type(key) not in (str, int):
            raise DefinitionError(
                f"{caller()}: {self!r}[{key!r}]: only a field's name or a list's index can be"
                f" taken;"
                " slice inside a step"
            )
        return self._child(key)

    def __repr__(self) -> str:
        origin = self._expression.get("$ref") or self._expression.get("$input")
        return f"<{'.'.join(map(str, [origin, *self._expression['path']]))}>"

    _in_step = "do it inside a step, which sees the real value"
    __bool__ = _refusal("the truth", "decide inside a step, which sees the real value")
    __iter__ = _refusal("the length", "loop inside a step, which sees the real value")
    __len__ = __contains__ = __iter__
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refusal("a comparison", _in_step)
    __str__ = __format__ = __int__ = __float__ = __index__ = _refusal(
        "the text or number", _in_step
    )
    __call__ = _refusal("a call", "take fields and items only, and call methods inside a step")
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refusal("arithmetic", _in_step)
    __truediv__ = __rtruediv__ = __floordiv__ = __mod__ = __neg__ = __or__ = __and__ = __add__
    __setitem__ = __delitem__ = _refusal("a change", "a step returns the changed value instead")
    __hash__ = object.__hash__


@dataclass
class Trace:
    """The workflow function being read: the chain under construction and the names given so far."""

    workflow: str
    items: list[Node | Group] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    groups: int = 0

    def add(self, name: str, step: str, inputs: dict[str, Expression], queue: str | None) -> Symbol:
        """Append a node; a name already used gets `#2`, `#3`, …"""
        unique, count = name, 1
        while unique in self.names:
            count += 1
            unique = f"{name}#{count}"
        self.names.add(unique)
        self.items.append(Node(unique, step, inputs, queue))
        return Symbol({"$ref": unique, "path": []})

    @contextmanager
    def branch(self) -> Iterator[list[Node | Group]]:
        """Collect what is called inside apart from the chain so far."""
        outer, self.items = self.items, []
        try:
            yield self.items
        finally:
            self.items = outer


_current: ContextVar[Trace | None] = ContextVar("jobs_trace", default=None)


def current() -> Trace | None:
    return _current.get()


@contextmanager
def tracing(workflow: str) -> Iterator[Trace]:
    if _current.get() is not None:
        raise DefinitionError(f"{caller()}: a workflow cannot be defined inside another")
    trace = Trace(workflow)
    token = _current.set(trace)
    try:
        yield trace
    finally:
        _current.reset(token)


def express(value: Any, literal: Callable[[Any], Any]) -> Expression:
    """Return an argument's expression; `literal` makes JSON of a value without symbols."""
    if isinstance(value, Symbol):
        return value._expression
    if _holds_symbol(value):
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise DefinitionError(
                    f"{caller()}: a dict with symbolic values takes text keys only"
                )
            return {"$dict": {key: express(item, _json_only) for key, item in value.items()}}
        return {"$list": [express(item, _json_only) for item in value]}
    return {"$value": literal(value)}


def _holds_symbol(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_symbol, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_symbol, value))
    return isinstance(value, Symbol)


def _json_only(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [_json_only(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _json_only(item) for key, item in value.items()}
    raise DefinitionError(
        f"{caller()}: {value!r} beside a symbolic value must be plain JSON; make it in a step"
        f" instead"
    )
