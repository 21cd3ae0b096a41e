"""Which of Celery's pools a worker may have: a step's timeout comes as a signal.

Signals reach a process's main thread only. That is where prefork's processes and the solo pool run
tasks; threads and greenlets would run every step without its timeout.
"""

from typing import Any

from celery.utils.log import get_logger

from counterpoint.env import SettingError

logger = get_logger(__name__)

PREFORK = "celery.concurrency.prefork"
SOLO = "celery.concurrency.solo"


def require_interruptible(pool: Any) -> None:
    """Raise SettingError for a pool, given its class, in which steps cannot be interrupted."""
    module = pool.__module__
    if module == SOLO:
        # It also sees no message while a task runs, and dies with a step that does not yield.
        logger.warning("the solo pool is for debugging: a step's timeout may end the worker")
    elif module != PREFORK:
        name = module.rpartition(".")[2]
        raise SettingError(
            "--pool",
            f"{name!r} cannot interrupt a step at its timeout; use prefork, the default, or solo "
            "for debugging",
        )
