"""End or freeze this process at a point that the plan names, inside the engine's own work."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.backends.signals import connection_created

from jobs import crashpoints
from jobs.crashpoints import Point
from tests.faults.app.environment import DEATH

LONGEST_FREEZE = 20.0  # seconds

# What is armed, by pid: a fork is not to inherit its parent's.
_statements: dict[int, tuple[str, int]] = {}  # before or after, and how many are left
_points: dict[int, str] = {}
_reaches: Counter[str] = Counter()


def die() -> None:
    """End this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(way: str) -> None:
    """End this process `before-N` or `after-N` of its next statements, or `at` a named point."""
    if way.startswith("at "):
        _points[os.getpid()] = way.removeprefix("at ")
        return
    side, _, count = way.partition("-")
    _statements[os.getpid()] = side, int(count)


def freeze(has_been_replaced: Callable[[], bool]) -> None:
    """Stand still, the worker's main process with us, until another attempt is under way; then go
    on as a zombie.
    """
    main = os.getppid()
    deadline = time.monotonic() + LONGEST_FREEZE
    os.kill(main, signal.SIGSTOP)
    try:
        while time.monotonic() < deadline and not has_been_replaced():
            time.sleep(0.1)
    finally:
        os.kill(main, signal.SIGCONT)


def install() -> None:
    """Count every statement of Django's connection, and hear of every point of the engine's."""
    connection_created.connect(_wrap)
    _wrap(connection)
    crashpoints.listening(_reached).__enter__()  # for as long as the process lives


def _reached(point: Point) -> None:
    if _points.get(os.getpid()) == point:
        die()
    count, _, name = os.environ.get(DEATH, "").partition(" ")
    if name == point:
        _reaches[name] += 1
        if _reaches[name] >= int(count):
            die()


def _wrap(connection: Any, **_: Any) -> None:
    if _around not in connection.execute_wrappers:
        connection.execute_wrappers.append(_around)


def _around(
    execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any
) -> Any:
    side, left = _statements.get(os.getpid(), ("", 0))
    if left == 1 and side == "before":
        die()
    try:
        return execute(sql, parameters, many, context)
    finally:
        if left == 1:
            die()
        if left:
            _statements[os.getpid()] = side, left - 1
