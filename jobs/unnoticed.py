"""Placeholder."""

from collections.abc import Callable
from typing import Any


def check_source(fn: Callable[..., Any]) -> None:
    return None
