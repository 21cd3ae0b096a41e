"""Tell Celery's monitors of steps that run in place: several in one message, each under its name.

A worker announces the tasks that messages bring. What goes on after the first step of a message it
does not see, so the pool process that runs it says so itself:

    step = InPlaceStep(task="create-items", run_id=…, step_run_id=…, hostname=…, parent_id=…)
    step.started()
    step.succeeded("succeeded")  # or failed(error), retried(error)

Nothing here waits or raises; without a monitor behind it (`ports.monitor`) it does nothing.
"""

import time
import traceback
from typing import Any, Literal
from uuid import UUID

from jobs.ports import ports
from jobs.task_ids import new_task_id

Kind = Literal["received", "started", "succeeded", "failed", "retried"]


def announce(kind: Kind, *, task: str, task_id: str, hostname: str, **fields: Any) -> None:
    """Announce a change of a task's state, with the fields of Celery's event `task-<kind>`.

    `fields` are JSON values; what the monitors show as text (`args`, `result`, `exception`) is
    text.
    """
    if ports.monitor is not None:
        ports.monitor(kind, task=task, task_id=task_id, hostname=hostname, fields=fields)


class InPlaceStep:
    """One step that a pool process runs without a message of its own, as monitors see it."""

    def __init__(
        self,
        *,
        task: str,
        run_id: UUID,
        step_run_id: int,
        hostname: str,
        parent_id: str | None = None,
        attempt: int = 1,
    ) -> None:
        self._is_heard = ports.monitor is not None
        self._began = 0.0
        if not self._is_heard:
            return
        self.task_id = new_task_id(run_id, step_run_id)
        self._task, self._hostname = task, hostname
        self._announce(
            "received",
            name=task,
            args=repr((str(run_id), step_run_id)),
            kwargs="{}",
            root_id=parent_id or self.task_id,
            parent_id=parent_id,
            retries=attempt - 1,
        )

    def started(self) -> None:
        """Its code begins."""
        self._began = time.monotonic()
        self._announce("started")

    def succeeded(self, result: str) -> None:
        """It ended with this status."""
        runtime = time.monotonic() - self._began
        self._announce("succeeded", result=repr(result), runtime=runtime)

    def failed(self, error: BaseException) -> None:
        """It failed for good, or its outcome could not be recorded."""
        self._announce("failed", exception=repr(error), traceback=_traceback(error))

    def retried(self, error: BaseException) -> None:
        """It failed and will be tried again."""
        self._announce("retried", exception=repr(error), traceback=_traceback(error))

    def _announce(self, kind: Kind, **fields: Any) -> None:
        if self._is_heard:
            announce(kind, task=self._task, task_id=self.task_id, hostname=self._hostname, **fields)


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
