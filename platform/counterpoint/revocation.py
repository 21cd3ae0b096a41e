"""Revoking a step's task, in Flower or with `celery control`, cancels its run.

Celery's own revoke only makes workers drop the message, or kill the process that is at work on it:
the row would wait for its next message and begin again. The run stands in the task's id, so that
every worker that hears of it can cancel it, whether or not the message has been received.
"""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from celery.utils.log import get_logger
from celery.worker import control as untyped_control
from kombu.utils.functional import maybe_list

logger = get_logger(__name__)

control: Any = untyped_control  # its stubs leave the commands out

REASON = "its task was revoked"
BY = "celery control revoke"  # Flower and Celery tell no more


def revoke(state: Any, task_id: Any, terminate: bool = False, **options: Any) -> Any:
    """Cancel the runs of these tasks; then do as Celery does: drop their messages, kill if told to.

    Raises nothing: what went wrong is in the answer.
    """
    problems = list(_cancel_runs(maybe_list(task_id) or []))
    answer = control.revoke(state, task_id, terminate=terminate, **options)
    return control.nok("; ".join(problems)) if problems else answer


def terminate(state: Any, signal: Any, task_id: Any, **options: Any) -> Any:
    """Revoke the tasks and kill the processes that are at work on them."""
    return revoke(state, task_id, terminate=True, signal=signal, **options)


HANDLERS: dict[str, Callable[..., Any]] = {"revoke": revoke, "terminate": terminate}


def _cancel_runs(task_ids: list[str]) -> Iterator[str]:
    """Cancel what the tasks work for, and yield what could not be.

    A run that has ended is left alone: who revokes a finished task does not ask for its work to be
    undone.
    """
    from django.db import DatabaseError, InterfaceError, connection

    from jobs.errors import JobsError
    from jobs.task_ids import run_of

    for run_id in filter(None, {run_of(str(task_id)) for task_id in task_ids}):
        try:
            if _cancel(run_id):
                logger.info("run %s cancelled: its task was revoked", run_id)
        except (DatabaseError, InterfaceError, JobsError) as error:
            logger.warning("run %s not cancelled: %s", run_id, error)
            yield f"run {run_id} not cancelled: {error}"
        finally:
            connection.close()  # this thread's; the pool's processes are forked beside it


def _cancel(run_id: UUID) -> bool:
    from jobs.models import Run
    from jobs.services import cancel

    run = Run.objects.filter(pk=run_id).first()
    if run is None or run.is_ended:
        return False
    return cancel(run_id, reason=REASON, by=BY)
