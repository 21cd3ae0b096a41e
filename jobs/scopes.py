"""The names of a workflow function: what they mean, and which of them are symbolic."""

import ast
import builtins
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from jobs.tracing import HERE, Traced

SYMBOL = "symbol"
MANY = "many"  # a real tuple, list or dict that holds symbolic values
VALUES = ("each", "transform", "wait_for")  # the words that return a symbolic value
WORDS = (*VALUES, "parallel", "sleep", "sleep_until", "hook", "when")
INSTALLED = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
GATHER = (list, tuple, dict, set, sorted, reversed, zip, enumerate)


class Scope:
    """What the names of a function stand for, and the kinds of values that they hold so far."""

    def __init__(self, names: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
        self.names = names
        self.kinds: dict[str, str | None] = dict(kinds)

    def resolve(self, node: ast.expr) -> Any:
        """Return the object that the expression names; None where the source does not tell."""
        if isinstance(node, ast.Name):
            if node.id in self.kinds:
                return None
            return self.names.get(node.id, getattr(builtins, node.id, None))
        if isinstance(node, ast.Attribute):
            owner = self.resolve(node.value)
            return getattr(owner, node.attr, None) if isinstance(owner, ModuleType) else None
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr="options")):
                owner = self.resolve(value)  # step.options(…) is called like the step
                return owner if isinstance(owner, Traced) else None
        return None

    def kind(self, node: ast.expr) -> str | None:
        """Return whether the expression's value is symbolic, or holds such; None if unsure."""
        match node:
            case ast.Name():
                return self.kinds.get(node.id)
            case ast.Attribute() | ast.Subscript():
                return SYMBOL if self.kind(node.value) else None
            case ast.Starred() | ast.NamedExpr():
                return self.kind(node.value)
            case ast.Call():
                return self._kind_of_call(node)
            case ast.Tuple() | ast.List() | ast.Set():
                return MANY if any(map(self.kind, node.elts)) else None
            case ast.Dict():
                return MANY if any(map(self.kind, node.values)) else None
            case ast.IfExp():
                return self.kind(node.body) or self.kind(node.orelse)
            case ast.ListComp() | ast.GeneratorExp():
                return MANY if self.kind(node.elt) else None
        return None

    def _kind_of_call(self, node: ast.Call) -> str | None:
        called = self.resolve(node.func)
        if isinstance(called, Traced) or self._is_word(called, *VALUES):
            return SYMBOL
        if self._is_word(called, "parallel"):
            return MANY
        if any(called is gather for gather in GATHER) and any(map(self.kind, node.args)):
            return MANY
        return None

    def calls_steps(self, node: ast.AST) -> bool:
        """Whether something that becomes a node is called in there."""
        return any(
            isinstance(called := self.resolve(part.func), Traced) or self._is_word(called, *WORDS)
            for part in ast.walk(node)
            if isinstance(part, ast.Call)
        )

    def is_when(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Call) and self._is_word(self.resolve(node.func), "when")

    def assign(self, target: ast.expr, value: ast.expr) -> None:
        """Note what the target holds from here on."""
        if not isinstance(target, ast.Tuple | ast.List):
            self.mark(target, self.kind(value))
        elif isinstance(value, ast.Tuple | ast.List) and len(target.elts) == len(value.elts):
            for one, part in zip(target.elts, value.elts, strict=True):
                self.assign(one, part)
        else:
            self.mark(target, SYMBOL if self.kind(value) else None)

    def mark(self, target: ast.expr, kind: str | None) -> None:
        for part in ast.walk(target):
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                self.kinds[part.id] = kind

    @contextmanager
    def inner(self, arguments: ast.arguments) -> Iterator[None]:
        """A function inside this one: its parameters hide what they are named like.

        Whether they are symbolic is open: those of a predicate are real values.
        """
        before = dict(self.kinds)
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        self.kinds |= {one.arg: None for one in every}
        yield
        self.kinds = before

    @staticmethod
    def is_ours(called: FunctionType) -> bool:
        """Whether the function is one of the words that this package offers."""
        return Path(called.__code__.co_filename).parent == HERE

    @staticmethod
    def is_installed(called: FunctionType) -> bool:
        """Whether the function is of the standard library or a package, not of the author."""
        file = Path(called.__code__.co_filename)
        return any(file.is_relative_to(path) for path in INSTALLED)

    def _is_word(self, called: Any, *names: str) -> bool:
        return (
            isinstance(called, FunctionType) and called.__name__ in names and self.is_ours(called)
        )
