"""Tasks that leave a trace outside the worker."""

from pathlib import Path
from typing import Any
from uuid import UUID

from celery import Task, shared_task

from jobs.monitoring import InPlaceStep

RUN_ID = UUID("0195a3f0-0000-7000-8000-000000000001")


@shared_task(name="probe.touch")
def touch(path: str) -> None:
    """Make the file."""
    Path(path).touch()


@shared_task(name="probe.go-on", bind=True)
def go_on(self: Task[Any, Any], path: str) -> None:
    """Announce what the engine announces of steps that it runs in place, and make the file."""

    def step(task: str) -> InPlaceStep:
        made = InPlaceStep(
            task=task,
            run_id=RUN_ID,
            step_run_id=5,
            hostname=str(self.request.hostname),
            parent_id=str(self.request.id),
            attempt=2,
        )
        made.started()
        return made

    step("probe-good").succeeded("succeeded")
    step("probe-bad").failed(ValueError("for good"))
    step("probe-again").retried(TimeoutError("for now"))
    step("probe-long")
    Path(path).touch()
