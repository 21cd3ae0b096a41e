"""A thread that does for a process what none of its work should wait for."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

LAST_MOMENT_SECONDS = 5.0


class Background(Generic[T]):
    """Hands things to a worker in the order they came, many at once, in a thread of its own.

    The thread begins with the first thing, makes its worker and passes on at most `at_once`. What
    comes alone goes at once; what comes less than `linger` seconds after the last waits as long for
    company. The worker raises nothing. Things are handed over without a lock of ours: whoever does
    so may be interrupted anywhere, and would leave it taken. A forked child begins with nothing:
    what waits is its parent's.
    """

    def __init__(
        self,
        make_worker: Callable[[], Callable[[list[T]], None]],
        *,
        name: str,
        at_once: int,
        linger: float = 0.0,
    ) -> None:
        self._make_worker = make_worker
        self._name = name
        self._at_once = at_once
        self._linger = linger
        self._begin_anew()
        os.register_at_fork(after_in_child=self._begin_anew)

    def _begin_anew(self) -> None:
        self._waiting: SimpleQueue[T | threading.Event] = SimpleQueue()
        self._hurry = threading.Event()
        self._passed_at = float("-inf")
        self._thread: threading.Thread | None = None

    def __len__(self) -> int:
        """Return about how many wait."""
        return self._waiting.qsize()

    def put(self, thing: T) -> None:
        """Hand one over; returns at once."""
        self._waiting.put(thing)
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def flush(self, timeout: float = LAST_MOMENT_SECONDS) -> bool:
        """Wait until what was handed over is done; False if that takes over `timeout` seconds."""
        if self._thread is None:
            return True
        passed = threading.Event()  # put behind all that waits
        self._waiting.put(passed)
        self._hurry.set()
        return passed.wait(timeout)

    def _run(self) -> None:
        work = self._make_worker()
        while True:
            found = self._take()
            things = [one for one in found if not isinstance(one, threading.Event)]
            if things:
                work(things)
            for one in found:
                if isinstance(one, threading.Event):
                    one.set()

    def _take(self) -> list[T | threading.Event]:
        """Wait for one, and return it with what has come besides."""
        found = [self._waiting.get()]
        if time.monotonic() < self._passed_at + self._linger:
            self._hurry.wait(self._linger)
        self._hurry.clear()
        self._passed_at = time.monotonic()
        with suppress(Empty):
            while len(found) < self._at_once:
                found.append(self._waiting.get_nowait())
        return found
