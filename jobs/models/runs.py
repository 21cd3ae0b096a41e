"""Runs and the definitions that they pin."""

import time
from datetime import timedelta
from typing import Any

from django.db import connection, models
from django.utils import timezone

from jobs.errors import ResultTimeout, RunCancelled, RunFailed
from jobs.ids import uuid7
from jobs.ports import ports
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
    unwinding begins. `turn_at` is set when the last token has come home and the end is to be worked
    out, `deadline_at` is the run's time-out, `expires_at` when `prune` may remove it. `pivoted`
    says that the point of no return is behind it. `parent` is the step that waits for a child run.
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

    class WaitingFor(models.TextChoices):
        TIME = "time"
        EVENT = "event"
        CHILD = "child", "child run"
        LIMIT = "limit"
        CODE = "code", "code that is not deployed"

    class Stop(models.TextChoices):
        FAILED = "failed"
        CANCELLED = "cancelled"

    ENDED = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    workflow = models.CharField(max_length=200)
    definition = models.ForeignKey(
        Definition, on_delete=models.PROTECT, db_index=False, related_name="runs"
    )
    company = models.CharField(max_length=128, null=True, blank=True)
    env = models.CharField(max_length=32, default="live")
    queue = models.CharField(max_length=80)
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    waiting_for = models.CharField(max_length=16, choices=WaitingFor, null=True, blank=True)
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
    priority = models.SmallIntegerField(default=0, db_default=0)
    singleton_key = models.CharField(max_length=200, null=True, blank=True)
    debounce_key = models.CharField(max_length=200, null=True, blank=True)
    parent = models.ForeignKey(
        "jobs.StepRun",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        blank=True,
        related_name="children",
    )
    forked_from = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=True,
        blank=True,
        related_name="forks",
    )
    pivoted = models.BooleanField(default=False, db_default=False)
    retention = models.DurationField(default=timedelta(days=30), db_default=timedelta(days=30))
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    deadline_at = models.DateTimeField(null=True, blank=True)
    turn_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "company", "idempotency_key"],
                condition=models.Q(idempotency_key__isnull=False),
                nulls_distinct=False,
                name="jobs_run_unique_idempotency_key",
            ),
            models.UniqueConstraint(
                fields=["workflow", "company", "singleton_key"],
                condition=models.Q(singleton_key__isnull=False, finished_at__isnull=True),
                nulls_distinct=False,
                name="jobs_run_one_live_singleton",
            ),
            models.UniqueConstraint(
                fields=["workflow", "company", "debounce_key"],
                condition=models.Q(debounce_key__isnull=False, status="queued"),
                nulls_distinct=False,
                name="jobs_run_one_debounced",
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
            # Read by the sweep: runs whose end is to be worked out, and those out of time.
            models.Index(
                fields=["turn_at"],
                condition=models.Q(turn_at__isnull=False),
                name="jobs_run_turn",
            ),
            models.Index(
                fields=["deadline_at"],
                condition=models.Q(stop__isnull=True, status__in=["queued", "running", "waiting"]),
                name="jobs_run_deadline",
            ),
            # Read by prune.
            models.Index(
                fields=["expires_at"],
                condition=models.Q(expires_at__isnull=False),
                name="jobs_run_expired",
            ),
            # Read by the rollback and the cancellation of a parent.
            models.Index(
                fields=["parent"], condition=models.Q(parent__isnull=False), name="jobs_run_parent"
            ),
            # Read by the API's list, newest first: ids rise with time.
            models.Index(fields=["company", "-id"], name="jobs_run_company"),
            # Read by a run's page.
            models.Index(
                fields=["forked_from"],
                condition=models.Q(forked_from__isnull=False),
                name="jobs_run_forks",
            ),
            # Read by the admin's list.
            models.Index(fields=["-created_at"], name="jobs_run_newest"),
            # Read by the metrics: what has ended since they looked last, and what is undone.
            models.Index(
                fields=["finished_at"],
                condition=models.Q(finished_at__isnull=False),
                name="jobs_run_finished",
            ),
            models.Index(
                fields=["created_at"],
                condition=models.Q(status="compensating"),
                name="jobs_run_compensating",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workflow} {self.pk}"

    @property
    def is_ended(self) -> bool:
        return self.status in self.ENDED

    def send(self, event_type: str, payload: Any) -> None:
        """Give an event to this run alone: its wait of that type takes it."""
        ports.control.send_event(self.pk, event_type, payload)

    def cancel(self, *, reason: str, by: str = "") -> bool:
        """Stop the run, or undo a succeeded one; False if it has ended otherwise."""
        return bool(ports.control.cancel(self.pk, reason=reason, by=by))

    def retry(self, *, reason: str, by: str = "") -> "Run":
        """Run a failed run again: what was not undone stays."""
        again: Run = ports.control.retry(self.pk, reason=reason, by=by)
        return again

    def fork(self, *, from_step: str, reason: str, by: str = "") -> "Run":
        """Start a new run with the outputs from before the step."""
        made: Run = ports.control.fork(self.pk, from_step=from_step, reason=reason, by=by)
        return made

    def resume_rollback(self, *, reason: str, by: str = "") -> "Run":
        """Try the compensations again that failed for good."""
        again: Run = ports.control.resume_rollback(self.pk, reason=reason, by=by)
        return again

    def resolve(self, step: str, reason: str, *, by: str = "") -> "Run":
        """Mark a compensation that failed as done by hand."""
        again: Run = ports.control.resolve(self.pk, step=step, reason=reason, by=by)
        return again

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
                raise ResultTimeout(
                    f"run {self.pk} is {self.status} after {timeout} s; it goes on{_hint()}"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)
        if self.status == self.Status.FAILED:
            raise RunFailed(self.pk, self.error)
        if self.status == self.Status.CANCELLED:
            raise RunCancelled(self.pk, self.error)
        return registry.workflow(self.workflow).output.decode(
            self.output, what=f"output of {self.workflow}"
        )


def _hint() -> str:
    if not connection.in_atomic_block:
        return ""
    return " (one that was started in this transaction begins when it commits: wait outside)"
