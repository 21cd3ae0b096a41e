"""Processes that really die: a fork works on a run and is killed at a commit point."""

import os
import signal
import traceback
import warnings
from typing import NoReturn

from django.db import connection

from jobs.crashpoints import Point, listening
from jobs.models import Run
from jobs.testing import recover


def die_at(point: str, run: Run) -> None:
    """Have a process of its own work on the run until the kernel ends it at the point."""
    connection.close()  # each process has its own
    with warnings.catch_warnings():
        # Of threads: the child uses none of the parent's, and never returns to pytest.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _work_and_die(point, run)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, f"it did not come to {point}"


def _work_and_die(point: str, run: Run) -> NoReturn:
    name, _, number = point.partition("#")
    left = int(number or 1)

    def die(reached: Point) -> None:
        nonlocal left
        left -= reached == name
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with listening(die):
            recover(run)
    except BaseException:
        traceback.print_exc()
    os._exit(1)
