"""Steps as Celery tasks: a message brings ids, the row decides."""

import os
from typing import Any

from celery import Task, shared_task

from jobs.definitions import Step
from jobs.execution import StepFailed, perform
from jobs.leases import worker_name
from jobs.plan import COMPENSATE


def register(step: Step[Any, Any]) -> None:
    """Make the Celery task of the step's name and, if it has one, of its compensation's."""
    _task(step.name)
    if step.compensation_ is not None:
        _task(step.name + COMPENSATE)


def _task(name: str) -> None:
    @shared_task(name=name, bind=True, ignore_result=True, acks_late=True, throws=(StepFailed,))
    def run(self: Task[Any, Any], run_id: str, step_run_id: int) -> str:
        return perform(
            step_run_id, worker=worker_name(self.request.hostname or "local", os.getpid())
        )
