"""Limits that hold over all workers: how they are declared. Enforced by `jobs.admission`."""

import hashlib
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from jobs.errors import DefinitionError
from jobs.tracing import caller

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
            raise _wrong(f"Limit({self.n!r}): it takes a whole number of 1 or more")
        _check_key(self.key, "Limit")


@dataclass(frozen=True)
class Rate:
    """At most `n` starts in any window of `per`, for each key."""

    n: int
    per: timedelta
    key: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if type(self.n) is not int or self.n < 1:
            raise _wrong(f"Rate({self.n!r}, …): it takes a whole number of 1 or more")
        if not isinstance(self.per, timedelta) or self.per <= timedelta(0):
            raise _wrong(f"Rate(per={self.per!r}): it takes a timedelta above zero")
        _check_key(self.key, "Rate")


@dataclass(frozen=True)
class Debounce:
    """Start once nobody has asked for `wait`: of several starts of one key the last one's input
    counts; without a key all starts of a company are one.
    """

    wait: timedelta
    key: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.wait, timedelta) or self.wait <= timedelta(0):
            raise _wrong(f"Debounce({self.wait!r}): it takes a timedelta above zero")
        _check_key(self.key, "Debounce")


def key_of(limit: Limit | Rate | Debounce, arguments: dict[str, Any]) -> str:
    """Return the key's text for these arguments, `''` where there is no key function."""
    return "" if limit.key is None else key_text(limit.key(*arguments.values()))


def key_text(key: Any) -> str:
    """Return the key as stored: of a long one the beginning, and a hash that tells it apart."""
    text = str(key).replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if len(text) <= MAX_KEY:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[: MAX_KEY - len(digest) - 1]}…{digest}"


def misfit(key: Callable[..., Any], parameters: Collection[str]) -> str | None:
    """Say why the key function cannot take these parameters' values; None if it can."""
    try:
        inspect.signature(key).bind(*parameters)
    except TypeError as error:
        return f"is given {', '.join(parameters) or 'nothing'} by position: {error}"
    except ValueError:  # a builtin that does not tell its parameters
        return None
    if inspect.iscoroutinefunction(key):
        return "is async; it must be a plain function"
    return None


def _check_key(key: Any, what: str) -> None:
    if key is not None and not callable(key):
        raise _wrong(f"{what}(key={key!r}): it takes a function of the inputs")


def _wrong(message: str) -> DefinitionError:
    return DefinitionError(f"{caller()}: {message}")
