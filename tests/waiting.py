"""Wait for what another process or thread does, never for time to pass."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


def wait_until(probe: Callable[[], T], *, what: str, seconds: float = 60.0) -> T:
    """Call the probe until it returns something true, and return that; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; the last look gave {found!r}")
        time.sleep(POLL_SECONDS)
