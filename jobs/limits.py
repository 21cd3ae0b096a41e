"""Limits that hold over all workers: how they are declared. Enforced by `jobs.admission`."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

MAX_KEY = 200


@dataclass(frozen=True)
class Limit:
    """At most `n` at once for each key; `key` is a function of the inputs (of a step: its
    arguments without the context), and without it there is one count for all.
    """

    n: int
    key: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if type(self.n) is not int or self.n < 1:
            raise ValueError(f"Limit({self.n!r}): it takes a whole number of 1 or more")


@dataclass(frozen=True)
class Rate:
    """At most `n` starts in any window of `per`, for each key."""

    n: int
    per: timedelta
    key: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if type(self.n) is not int or self.n < 1:
            raise ValueError(f"Rate({self.n!r}, …): it takes a whole number of 1 or more")
        if not isinstance(self.per, timedelta) or self.per <= timedelta(0):
            raise ValueError(f"Rate(per={self.per!r}): it takes a timedelta above zero")


def key_of(limit: Limit | Rate, arguments: dict[str, Any]) -> str:
    """Return the key's text for these arguments, `''` where there is no key function."""
    return "" if limit.key is None else str(limit.key(*arguments.values()))[:MAX_KEY]
