"""Interrupt a step that runs longer than it may: by a signal, and by force if that is not enough.

    with time_limit(timedelta(minutes=5)):
        work()

The signal handler raises in the main thread, between two bytecodes or out of a blocking call. It
never raises in this module's own code, and CPython looks for signals only at calls and backward
jumps: so none is raised between a block's last call and `__exit__`, nor after it. In code that has
just taken a lock, or is about to give it back, it waits a moment: the lock would stay taken.
"""

import asyncio
import faulthandler
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from types import FrameType, TracebackType
from typing import Any

import structlog

from jobs import connections

log = structlog.get_logger(__name__)

# After the first interrupt. psycopg's cancelling of a statement may itself take five.
AGAIN_SECONDS = 6.0
SOON_SECONDS = 0.01
# Modules whose Python code takes and gives back locks that a whole process shares. Code that waits
# in one of them is interrupted after all, a fifth of a second late.
DELICATE = frozenset({"threading", "queue", "logging", "contextlib", "jobs.background"})
SPARED = 20
GRACE = timedelta(seconds=10)
STANDARD_ERROR = 2  # the descriptor: the C code that writes there knows no sys.stderr


class StepTimeout(KeyboardInterrupt):
    """The code ran longer than its time limit.

    A KeyboardInterrupt, because psycopg cancels a running statement on the server for that only;
    and no Exception, so that the code's own `except Exception` does not swallow it.
    """

    def __init__(self, limit: timedelta) -> None:
        super().__init__(f"no result within {limit.total_seconds():g} s")
        self.limit = limit


# What authors' code may raise: a step that left no outcome would hold its lease to the end.
WHATEVER = (
    *(Exception, SystemExit, StepTimeout, GeneratorExit),
    *(asyncio.CancelledError, BaseExceptionGroup),
)


def time_limit(limit: timedelta, *, grace: timedelta = GRACE) -> AbstractContextManager[Any]:
    """Raise `StepTimeout` inside the block when the limit passes, and again six seconds later.

    Code that has still not left the block `grace` after the limit is ended with its process, exit
    code 1, all threads' tracebacks on standard error. Code that swallows the interrupt and then
    returns has the StepTimeout raised at the end of the block. Database connections that the
    interrupt left in the middle of something are closed; Django opens new ones.

    Only a process's main thread gets signals: elsewhere the block runs without a limit.
    """
    if threading.current_thread() is not threading.main_thread():
        log.debug("no_time_limit", reason="not the main thread", limit=limit.total_seconds())
        return nullcontext()
    return _TimeLimit(limit, grace)


class _TimeLimit:
    """One block with a limit; limits may be nested, and the nearest deadline counts."""

    def __init__(self, limit: timedelta, grace: timedelta) -> None:
        self._limit = limit
        self._grace_seconds = grace.total_seconds()
        self._is_open = False
        self._has_fired = False
        self._spared = 0

    def __enter__(self) -> None:
        global _innermost
        self._connections = connections.snapshot()
        self._former_handler = signal.signal(signal.SIGALRM, self._on_alarm)
        delay, self._former_interval = signal.setitimer(signal.ITIMER_REAL, 0)
        now = time.monotonic()
        self._outer, _innermost = _innermost, self
        self._former_at = now + delay if delay and self._outer is None else None
        self._deadline = self._alarm_at = now + self._limit.total_seconds()
        _watchdog.watch(self._deadline + self._grace_seconds, self._limit)
        self._is_open = True
        self._set_timer()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _innermost
        self._is_open = False  # first: from here on an alarm raises nothing
        signal.setitimer(signal.ITIMER_REAL, 0)
        _innermost = self._outer
        # It also has pending alarms handled, by the handler that goes.
        signal.signal(signal.SIGALRM, self._former_handler)
        self._restore()
        if self._has_fired:
            connections.repair(self._connections)
            if error is None:
                raise StepTimeout(self._limit)

    def _restore(self) -> None:
        _watchdog.leave()
        if self._outer is not None:
            _watchdog.watch(self._outer._deadline + self._outer._grace_seconds, self._outer._limit)
            self._outer._set_timer()
        elif self._former_at is not None:
            _set_timer(self._former_at, self._former_interval)

    def _set_timer(self) -> None:
        _set_timer(min(at for limit in self._nested() for at in limit._alarms()))

    def _nested(self) -> Iterator["_TimeLimit"]:
        limit: _TimeLimit | None = self
        while limit is not None:
            yield limit
            limit = limit._outer

    def _alarms(self) -> Iterator[float]:
        yield self._alarm_at
        if self._former_at is not None:
            yield self._former_at

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if not self._is_open:
            return  # whoever enters or leaves sets the timer; one set here would outlive the block
        if frame is None or frame.f_globals is globals():
            _set_timer(time.monotonic() + SOON_SECONDS)
            return
        if frame.f_globals.get("__name__") in DELICATE and self._spared < SPARED:
            self._spared += 1
            _set_timer(time.monotonic() + SOON_SECONDS)
            return
        self._spared = 0
        now = time.monotonic()
        passed = [limit for limit in self._nested() if limit._alarm_at <= now]
        for limit in passed:
            limit._alarm_at = now + AGAIN_SECONDS
            limit._has_fired = True
        self._pass_on(number, frame, now)
        self._set_timer()
        if passed:
            raise StepTimeout(passed[-1]._limit)

    def _pass_on(self, number: int, frame: FrameType, now: float) -> None:
        """Call the handler of a timer that others had set before, if its time has come."""
        root = list(self._nested())[-1]
        if root._former_at is None or root._former_at > now:
            return
        root._former_at = now + root._former_interval if root._former_interval else None
        self._set_timer()  # the handler may raise
        if callable(root._former_handler):
            root._former_handler(number, frame)


_innermost: _TimeLimit | None = None


def _set_timer(at: float, interval: float = 0.0) -> None:
    signal.setitimer(signal.ITIMER_REAL, max(at - time.monotonic(), 0.001), interval)


# By force -----------------------------------------------------------------------------------------


class _Watchdog:
    """Ends the process at a moment, from a C thread that needs no interpreter lock.

    Starting and ending the thread costs more than a short step does (0.1 ms). While it is shared,
    a running one is used for the next limit too, if that lets it bark at most a second late; only
    for limits of a minute and more, so that what runs between two steps has a minute.
    """

    LATE_SECONDS = 1.0
    SHAREABLE = timedelta(minutes=1)

    def __init__(self) -> None:
        self.is_shared = False
        self._barks_at: float | None = None
        self._started_at = 0.0
        self._is_reusable = False

    def watch(self, until: float, limit: timedelta) -> None:
        """Bark at `until` (of `time.monotonic()`), or up to a second later while shared."""
        if self._barks_at is not None and until <= self._barks_at <= until + self.LATE_SECONDS:
            return
        self._is_reusable = self.is_shared and limit >= self.SHAREABLE
        self._started_at = time.monotonic()
        self._barks_at = until + self.LATE_SECONDS if self._is_reusable else until
        faulthandler.dump_traceback_later(
            max(self._barks_at - self._started_at, 0.001), exit=True, file=STANDARD_ERROR
        )

    def leave(self) -> None:
        """Stop watching, unless the next block may still use the thread that watches."""
        if not self._is_reusable or time.monotonic() > self._started_at + self.LATE_SECONDS:
            self.stop()

    def stop(self) -> None:
        if self._barks_at is not None:
            faulthandler.cancel_dump_traceback_later()
        self._barks_at = None


_watchdog = _Watchdog()


@contextmanager
def shared_watchdog() -> Iterator[None]:
    """Let the time limits inside, one after the other, share one thread that ends the process.

    For a message that may run several steps. Elsewhere than in the main thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread() or _watchdog.is_shared:
        yield
        return
    _watchdog.is_shared = True
    try:
        yield
    finally:
        _watchdog.is_shared = False
        _watchdog.stop()
