"""End or freeze this process at a point that the plan names, inside the engine's own statements."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from celery.signals import before_task_publish
from django.conf import settings
from django.db import connection
from django.db.backends.signals import connection_created

_countdown: dict[int, int] = {}  # statements and messages until the end, by pid
_is_before: dict[int, bool] = {}


def die() -> None:
    """End this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str) -> None:
    """End this process `before-N` or `after-N` of its next statements and messages."""
    side, _, count = point.partition("-")
    _countdown[os.getpid()] = int(count)
    _is_before[os.getpid()] = side == "before"


def freeze() -> None:
    """Stand still beyond the lease, the worker's main process with us, then go on as a zombie."""
    main = os.getppid()
    os.kill(main, signal.SIGSTOP)
    try:
        time.sleep(settings.JOBS_LEASE.total_seconds() + 2.0)
    finally:
        os.kill(main, signal.SIGCONT)


def _count(is_before: bool) -> None:
    pid = os.getpid()
    if pid not in _countdown:
        return
    if is_before:
        _countdown[pid] -= 1
    if _countdown[pid] <= 0 and _is_before[pid] == is_before:
        die()


def _around_statement(
    execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any
) -> Any:
    _count(is_before=True)
    try:
        return execute(sql, parameters, many, context)
    finally:
        _count(is_before=False)


def _wrap(connection: Any, **_: Any) -> None:
    if _around_statement not in connection.execute_wrappers:
        connection.execute_wrappers.append(_around_statement)


def _before_message(**_: Any) -> None:
    _count(is_before=True)


def install() -> None:
    """Count every statement of Django's connection and every message of Celery's."""
    connection_created.connect(_wrap)
    before_task_publish.connect(_before_message)
    _wrap(connection)
