"""Steps as Celery tasks: a message brings ids, the row decides."""

import os
from typing import Any

from celery import Task, shared_task

from jobs import services
from jobs.canvas import BARRIER
from jobs.execution import StepFailed, perform
from jobs.interrupt import shared_watchdog
from jobs.leases import worker_name
from jobs.plan import Kind
from jobs.schedule_rows import FIRE_TASK

_registered: set[str] = set()


def register(name: str) -> None:
    """Make the Celery task of a step or compensation; a second call for a name does nothing."""
    if name in _registered:
        return
    _registered.add(name)

    @shared_task(name=name, bind=True, ignore_result=True, acks_late=True, throws=(StepFailed,))
    def run(self: Task[Any, Any], run_id: str, step_run_id: int) -> str:
        with shared_watchdog():
            hostname, message = self.request.hostname or "local", str(self.request.id)
            return perform(
                step_run_id,
                worker=worker_name(hostname, os.getpid(), message),
                hostname=hostname,
                task_id=message,
            )


@shared_task(name=FIRE_TASK, bind=True, ignore_result=True, acks_late=True)
def fire_schedule(self: Task[Any, Any], workflow: str) -> str:
    """Start a scheduled workflow now, outside its slots: what "Run selected tasks" of the admin
    sends. Beat fires slots itself.
    """
    key = f"by-hand:{self.request.id}"
    return str(services.start_workflow(workflow, {}, company=None, idempotency_key=key).pk)


for kind in Kind:
    if kind != Kind.STEP:  # the engine's own nodes, and ordinary tasks of hand-written canvases
        register(f"jobs.{kind}")
register(BARRIER)
