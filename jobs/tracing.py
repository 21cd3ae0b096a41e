"""The workflow function that is being read: the chain under construction, and where its author's
code is.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

from jobs.errors import DefinitionError
from jobs.plan import Expression, Group, Kind, Node

HERE = Path(__file__).parent


def caller() -> str:
    """Return `file:line` of the author's code that is being read."""
    frame = sys._getframe(1)
    while frame.f_back and _is_ours(frame.f_code):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _is_ours(code: CodeType) -> bool:
    is_of_dataclass = (code.co_filename, code.co_name) == ("<string>", "__init__")
    return is_of_dataclass or Path(code.co_filename).parent == HERE


@dataclass
class Trace:
    """The chain under construction, the names given so far, and the `when` blocks that are open."""

    workflow: str
    items: list[Node | Group] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    open: frozenset[str] = frozenset()
    unentered: list[str] = field(default_factory=list)  # where a when() is that no `with` entered

    def add(
        self,
        name: str,
        step: str,
        inputs: Mapping[str, Expression],
        *,
        queue: str | None = None,
        kind: str = Kind.STEP,
        span: int = 0,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """Append a node and return its name: one already used gets `#2`, `#3`, …"""
        unique = self.unique(name)
        self.items.append(Node(unique, step, dict(inputs), queue, kind, span, dict(extra or {})))
        return unique

    def unique(self, name: str) -> str:
        """Return the name, with a number if a node or group has it already."""
        found, count = name, 1
        while found in self.names:
            count += 1
            found = f"{name}#{count}"
        self.names.add(found)
        return found

    def numbered(self, name: str) -> str:
        """Return `name-1`, `name-2`, …: the first that is free."""
        count = 1
        while f"{name}-{count}" in self.names:
            count += 1
        return f"{name}-{count}"

    @contextmanager
    def branch(self) -> Iterator[list[Node | Group]]:
        """Collect what is called inside apart from the chain so far."""
        outer, self.items = self.items, []
        try:
            yield self.items
        finally:
            self.items = outer


class Traced:
    """What is called inside a workflow function to make a node: steps and workflows."""


_current: ContextVar[Trace | None] = ContextVar("jobs_trace", default=None)


def current() -> Trace | None:
    return _current.get()


def tracing_for(what: str) -> Trace:
    """Return the workflow being read; raises `DefinitionError` outside of one."""
    trace = _current.get()
    if trace is None:
        raise DefinitionError(f"{caller()}: {what} belongs inside a workflow function")
    return trace


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
