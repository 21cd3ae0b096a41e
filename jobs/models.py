"""The engine's rows: what is true about every run. Messages are only wake-ups."""

import time
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from jobs.errors import ResultTimeout, RunCancelled, RunFailed
from jobs.ids import uuid7
from jobs.registry import registry


class Definition(models.Model):
    """A workflow's plan, stored once for each distinct structure; runs pin it."""

    hash = models.CharField(primary_key=True, max_length=64)
    workflow = models.CharField(max_length=200)
    plan = models.JSONField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.workflow} {self.hash[:12]}"


class Run(models.Model):
    """One run of a workflow.

    `stop` says that no further step may start and why; the run's `status` follows once nothing is
    live. `input` is the JSON input by parameter. `rollback_plan` is the mirrored plan, set when
    unwinding begins.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        WAITING = "waiting"
        COMPENSATING = "compensating"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Rollback(models.TextChoices):
        NOT_NEEDED = "not_needed"
        COMPLETE = "complete"
        INCOMPLETE = "incomplete"

    class Stop(models.TextChoices):
        FAILED = "failed"
        CANCELLED = "cancelled"

    ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.CharField(max_length=200)
    definition = models.ForeignKey(Definition, on_delete=models.PROTECT, related_name="runs")
    company = models.CharField(max_length=128, null=True, blank=True)
    env = models.CharField(max_length=32, default="live")
    queue = models.CharField(max_length=80)
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    rollback = models.CharField(max_length=16, choices=Rollback, default=Rollback.NOT_NEEDED)
    stop = models.CharField(max_length=16, choices=Stop, null=True, blank=True)
    generation = models.PositiveSmallIntegerField(default=1)
    input = models.JSONField()
    output = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    rollback_plan = models.JSONField(null=True, blank=True)
    idempotency_key = models.CharField(max_length=200, null=True, blank=True)
    correlation_id = models.CharField(max_length=200, null=True, blank=True)
    depth = models.PositiveSmallIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "company", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                nulls_distinct=False,
                name="jobs_run_unique_idempotency_key",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False
                )
                | ~models.Q(status__in=["succeeded", "failed", "cancelled"])
                & models.Q(finished_at__isnull=True, rollback="not_needed"),
                name="jobs_run_ended_with_its_time",
            ),
        ]
        indexes = [
            # Read by the sweep: runs told to stop whose steps are not all at rest yet.
            models.Index(
                fields=["created_at"],
                condition=models.Q(stop__isnull=False, status__in=["queued", "running", "waiting"]),
                name="jobs_run_stopping",
            ),
            # Read by the admin's list.
            models.Index(fields=["-created_at"], name="jobs_run_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.workflow} {self.pk}"

    @property
    def is_ended(self) -> bool:
        return self.status in self.ENDED

    def result(self, timeout: float | None = None) -> Any:
        """Wait for the run's end and return its typed output; polls the row, `timeout` in seconds.

        Raises `ResultTimeout`, `RunFailed` (after the rollback has ended) or `RunCancelled`.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.01
        while True:
            self.refresh_from_db(fields=["status", "output", "error", "rollback", "finished_at"])
            if self.is_ended:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise ResultTimeout(f"run {self.pk} is {self.status} after {timeout} s; it goes on")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        if self.status == self.Status.FAILED:
            raise RunFailed(self.pk, self.error)
        if self.status == self.Status.CANCELLED:
            raise RunCancelled(self.pk, self.error)
        return registry.workflow(self.workflow).output.decode(
            self.output, what=f"output of {self.workflow}"
        )


class StepRun(models.Model):
    """One node of one run, or its compensation. Rows exist from the moment that a node is ready.

    `fence` rises with every claim; an outcome is written only under the claim's own value. `due_at`
    is the earliest start, `wake_at` when the sweep next looks at the row, `lease_until` when its
    worker is given up. `undo` is SQL NULL when the step left none.
    """

    class Phase(models.TextChoices):
        FORWARD = "forward"
        COMPENSATION = "compensation"

    class Status(models.TextChoices):
        READY = "ready"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        SKIPPED = "skipped"
        STOPPED = "stopped", "stopped before it could start"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    generation = models.PositiveSmallIntegerField(default=1)
    node = models.CharField(max_length=250)
    step = models.CharField(max_length=200)
    phase = models.CharField(max_length=16, choices=Phase, default=Phase.FORWARD)
    status = models.CharField(max_length=16, choices=Status, default=Status.READY)
    queue = models.CharField(max_length=80)
    needs = models.JSONField(default=list)
    attempts = models.PositiveIntegerField(default=0)
    fence = models.BigIntegerField(default=0)
    worker = models.CharField(max_length=200, null=True, blank=True)
    due_at = models.DateTimeField(default=timezone.now)
    wake_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    undo = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation", "node"], name="jobs_steprun_unique_node"
            ),
            models.CheckConstraint(
                condition=models.Q(status="running", lease_until__isnull=False)
                | ~models.Q(status="running") & models.Q(lease_until__isnull=True),
                name="jobs_steprun_leased_while_running",
            ),
        ]
        indexes = [
            # Read by the sweep.
            models.Index(
                fields=["wake_at"],
                condition=models.Q(status__in=["ready", "running"]),
                name="jobs_steprun_wake",
            ),
        ]

    def __str__(self) -> str:
        return self.node

    @property
    def duration(self) -> timedelta | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


class Attempt(models.Model):
    """One try of a step and how it ended."""

    class Outcome(models.TextChoices):
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        SKIPPED = "skipped"
        LOST = "lost", "its worker was lost"

    id = models.BigAutoField(primary_key=True)
    step_run = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=16, choices=Outcome)
    error = models.JSONField(null=True, blank=True)
    worker = models.CharField(max_length=200, null=True, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["step_run", "number"], name="jobs_attempt_unique_number"
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.outcome}"


class Join(models.Model):
    """The meeting point of a group's branches: `live` counts those that still hold a token."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="joins")
    generation = models.PositiveSmallIntegerField(default=1)
    name = models.CharField(max_length=250)
    live = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation", "name"], name="jobs_join_unique_name"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.live}"
