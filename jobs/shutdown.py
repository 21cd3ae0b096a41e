"""Whether the worker that this process belongs to is about to leave.

One byte of memory, shared between a worker's main process, which hears the signal, and the
processes of its pool, which would otherwise go on with their runs' next steps in place.
"""

import mmap
from typing import Any

from celery import signals

_flag = mmap.mmap(-1, 1)  # anonymous and shared: made before the pool is forked


def is_near() -> bool:
    """Say whether what follows the step at hand is better left to other workers."""
    return _flag[0] != 0


@signals.worker_shutting_down.connect
def _announce(**_: Any) -> None:
    _flag[0] = 1
