"""Functions that plans name: `transform` functions and predicates, by addresses that are stored.

A function of a module is addressed as `module:qualified.name`. To what cannot be found by name
(lambdas, local functions) or has no annotations a hash is added, of its source, of the values that
it captures and of the types that it is given: other code has another address.
"""

import contextlib
import hashlib
import importlib
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobs import shapes
from jobs.counting import counted
from jobs.errors import DefinitionError, UnknownFunction
from jobs.sources import text_of
from jobs.symbols import holds_symbol
from jobs.tracing import caller
from jobs.values import MEMORY_ADDRESS, Codec, codec

MAX_ADDRESS = 200  # a node's `step` is stored in a column of that width


@dataclass(frozen=True)
class Function:
    """A registered function: what it takes by position, and what it returns."""

    address: str
    fn: Callable[..., Any]
    inputs: tuple[Codec, ...]
    output: Codec

    def call(self, values: Sequence[Any], *, what: str) -> Any:
        """Call it with JSON values and return its result as JSON data.

        Raises `InvalidInput` or `InvalidOutput`, and whatever the function raises.
        """
        return self.output.encode(self._call(values, what), what=what)

    def holds(self, values: Sequence[Any], *, what: str) -> bool:
        """Call it as a predicate: whether its result, which need not be JSON, is true."""
        return bool(self._call(values, what))

    def _call(self, values: Sequence[Any], what: str) -> Any:
        decoded = [
            self.codec(index).decode(value, what=f"{what}, value {index + 1}")
            for index, value in enumerate(values)
        ]
        return self.fn(*decoded)

    def codec(self, index: int) -> Codec:
        """The last one stands for all that follow: it may be that of `*values`."""
        return self.inputs[min(index, len(self.inputs) - 1)] if self.inputs else Codec(Any)


_known: dict[str, Function] = {}


def register(
    fn: Callable[..., Any], given: Sequence[Any], *, is_predicate: bool = False
) -> Function:
    """Give the function its address, for arguments of these annotations.

    What a predicate returns needs no JSON form. Raises `DefinitionError` for what cannot be
    addressed or called like that.
    """
    _check(fn, len(given))
    hints = shapes.callable_hints(fn)
    names = _positional(fn, len(given))
    if all(name in hints for name in names) and _is_importable(fn):
        made = _named(f"{fn.__module__}:{fn.__qualname__}", fn)
    else:
        taken = [hints.get(name, known) for name, known in zip(names, given, strict=True)]
        codecs = tuple(map(Codec, taken))
        made = Function(_hashed(fn, taken), fn, codecs, Codec(hints.get("return", Any)))
    if len(made.address) > MAX_ADDRESS:
        raise DefinitionError(
            f"{caller()}: the address {made.address!r} is longer than {MAX_ADDRESS} characters;"
            " shorten the function's name or its module's"
        )
    if not is_predicate:
        codec(made.output.annotation, f"{caller()}: the return value of {fn.__qualname__}")
    _known[made.address] = made
    return made


def resolve(address: str) -> Callable[..., Any]:
    """Return the plain function of that address; raises `UnknownFunction`."""
    return function(address).fn


def function(address: str) -> Function:
    """Return the function of that address; raises `UnknownFunction` if the deployed code has none.

    One that no workflow uses any more is still found by its name, if that says all.
    """
    if address in _known:
        return _known[address]
    module, _, name = address.partition(":")
    found = None if "@" in name or not name else _import(module, name)
    if not callable(found):
        raise UnknownFunction(address)
    return _named(address, found)


def _named(address: str, fn: Callable[..., Any]) -> Function:
    hints = shapes.callable_hints(fn)
    codecs = tuple(Codec(hints.get(name, Any)) for name in _positional(fn, None))
    return Function(address, fn, codecs, Codec(hints.get("return", Any)))


def _check(fn: Callable[..., Any], count: int) -> None:
    if not callable(fn) or not (hasattr(fn, "__qualname__") and hasattr(fn, "__module__")):
        raise DefinitionError(
            f"{caller()}: {fn!r} has no name to store; pass a function or a lambda"
        )
    if inspect.iscoroutinefunction(fn) or inspect.isgeneratorfunction(fn):
        raise DefinitionError(
            f"{caller()}: {fn.__qualname__} is async or a generator; pass a plain function"
        )
    if holds_symbol([*_cells(fn), *(getattr(fn, "__defaults__", None) or ())]):
        raise DefinitionError(
            f"{caller()}: the function captures a symbolic value, which it would never see the"
            " content of; give the value as an argument: transform(fn, a, b)"
        )
    try:
        inspect.signature(fn).bind(*[None] * count)
    except TypeError as error:
        raise DefinitionError(
            f"{caller()}: {fn.__qualname__}{inspect.signature(fn)} cannot take"
            f" {counted(count, 'value')}: {error}"
        ) from error
    except ValueError:  # a builtin that does not tell its parameters
        return


def _positional(fn: Callable[..., Any], count: int | None) -> list[str]:
    """Return the names of the first parameters, as many as there are values; None: of all."""
    try:
        parameters = list(inspect.signature(fn).parameters.values())
    except ValueError:
        return [""] * (count or 0)
    names = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
    if count is None:
        return names
    return [*names, *names[-1:] * (count - len(names))][:count]


def _is_importable(fn: Callable[..., Any]) -> bool:
    return bool(_import(fn.__module__, fn.__qualname__) == fn)


def _hashed(fn: Callable[..., Any], taken: Sequence[Any]) -> str:
    parts = [_type_text(one) for one in taken]
    name = fn.__qualname__
    if not _is_importable(fn):
        parts += _content(fn)
        name = fn.__name__
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
    return f"{fn.__module__}:{name}@{digest}"


def _type_text(annotation: Any) -> str:
    if isinstance(annotation, type) and not hasattr(annotation, "__args__"):
        return f"{annotation.__module__}.{annotation.__qualname__}"
    return MEMORY_ADDRESS.sub("", str(annotation))


def _content(fn: Callable[..., Any]) -> list[str]:
    """Return the function's source, and what tells the values that it captures from others."""
    captured = [*_cells(fn), *(getattr(fn, "__defaults__", None) or ())]
    return [_source(fn), *map(_captured, captured)]


def _cells(fn: Callable[..., Any]) -> list[Any]:
    found = []
    for cell in getattr(fn, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # a variable that is assigned later
            found.append(cell.cell_contents)
    return found


def _source(fn: Callable[..., Any]) -> str:
    if (text := text_of(fn)) is None:
        raise DefinitionError(
            f"{caller()}: the source of {fn.__qualname__} cannot be read, so nothing could tell it"
            " from another; define it in a module, by name"
        )
    return text


def _captured(value: Any) -> str:
    """Return what tells a captured value from another; raises for what nothing stable tells."""
    if callable(value) and hasattr(value, "__qualname__"):
        if _is_importable(value):
            return f"{value.__module__}:{value.__qualname__}"
        return "\n".join(_content(value))
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key!r}: {_captured(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple | set | frozenset):
        parts = map(_captured, value)
        in_order = sorted(parts) if isinstance(value, set | frozenset) else parts
        return f"{type(value).__name__}({', '.join(in_order)})"
    text = repr(value)
    if MEMORY_ADDRESS.search(text):
        raise DefinitionError(
            f"{caller()}: the function captures {value!r}, which cannot be stored; use a name of"
            " the module, or give plain data"
        )
    return text


def _import(module: str, name: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception:  # a module that fails while it is imported is as good as none
        return None
    return found
