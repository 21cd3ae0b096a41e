"""What a step can say besides returning a plain value."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class _Unset:
    def __repr__(self) -> str:
        return "UNSET"


UNSET: Any = _Unset()


@dataclass(frozen=True)
class Done(Generic[R]):
    """Return `value` as the step's output and give `undo` to its compensation instead of it."""

    value: R
    undo: Any = UNSET


class Retry(Exception):
    """Ask for another attempt `after` a timedelta or seconds; by default after the backoff."""

    after: timedelta | None = None  # of a subclass too that has its own way to begin

    def __init__(self, message: str = "retry asked for", *, after: timedelta | float | None = None):
        super().__init__(message)
        if after is not None and not isinstance(after, timedelta | int | float):
            raise TypeError(f"Retry(after={after!r}): it takes a timedelta or seconds")
        self.after = timedelta(seconds=after) if isinstance(after, int | float) else after


class PermanentFailure(Exception):
    """Fail the step for good, without further attempts; `undo` reaches its own compensation."""

    undo: Any = UNSET  # of a subclass too that has its own way to begin

    def __init__(self, message: str, *, undo: Any = UNSET) -> None:
        super().__init__(message)
        self.undo = undo


class Skip(Exception):
    """End the step as skipped: its output is None and it is never compensated."""
