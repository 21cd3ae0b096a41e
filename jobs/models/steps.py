"""Steps of runs, their attempts, and where their tokens meet."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

from jobs.models.runs import Run


class StepRun(models.Model):
    """One node of one run, or its compensation. Rows exist from the moment that a node is ready.

    `fence` rises with every claim; an outcome is written only under the claim's own value. `due_at`
    is the earliest start, `wake_at` when the sweep next looks at the row, `lease_until` when its
    worker is given up. `undo` is SQL NULL when the step left none. `spent` are attempts of earlier
    rounds, which no longer count.

    `unsent` marks a step of a wide group that is ready and has no message yet: a worker that comes
    to another step of the run takes it, or has it sent; at the latest the sweep does.

    An item of an `each` has its node in `each`, its index in `item` and its input in `value`. It is
    pooled while it is ready without a `wake_at`: whoever ends another item takes it. `inherited`
    marks what a forked run was given; its source compensates it.
    """

    class Phase(models.TextChoices):
        FORWARD = "forward"
        COMPENSATION = "compensation"
        ON_FAILURE = "on_failure", "told of the failure"

    class Status(models.TextChoices):
        READY = "ready"
        RUNNING = "running"
        WAITING = "waiting"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        SKIPPED = "skipped"
        STOPPED = "stopped", "stopped before it could start"
        RESOLVED = "resolved", "resolved by hand"

    id = models.BigAutoField(primary_key=True)
    # Every lookup by run is answered by the unique index.
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="steps")
    generation = models.PositiveSmallIntegerField(default=1)
    node = models.CharField(max_length=250)
    step = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, default="step", db_default="step")
    phase = models.CharField(max_length=16, choices=Phase, default=Phase.FORWARD)
    status = models.CharField(max_length=16, choices=Status, default=Status.READY)
    waiting_for = models.CharField(max_length=16, choices=Run.WaitingFor, null=True, blank=True)
    queue = models.CharField(max_length=80)
    priority = models.SmallIntegerField(default=0, db_default=0)
    each = models.CharField(max_length=250, null=True, blank=True)
    item = models.PositiveIntegerField(null=True, blank=True)
    value = models.JSONField(null=True, blank=True)
    inherited = models.BooleanField(default=False, db_default=False)
    unsent = models.BooleanField(default=False, db_default=False)
    needs = models.JSONField(default=list)
    attempts = models.PositiveIntegerField(default=0)
    spent = models.PositiveIntegerField(default=0, db_default=0)
    fence = models.BigIntegerField(default=0)
    worker = models.CharField(max_length=200, null=True, blank=True)
    due_at = models.DateTimeField(default=timezone.now)
    wake_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    output = models.JSONField(null=True, blank=True)
    undo = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    progress = models.FloatField(null=True, blank=True)
    progress_note = models.TextField(null=True, blank=True)
    limit_name = models.CharField(max_length=250, null=True, blank=True)
    limit_key = models.CharField(max_length=200, null=True, blank=True)
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
                condition=models.Q(status__in=["ready", "running", "waiting"]),
                name="jobs_steprun_wake",
            ),
            # Read by whoever ends an item of an `each`: the next one that nobody has taken.
            models.Index(
                fields=["run", "generation", "each", "item"],
                condition=models.Q(each__isnull=False, status="ready", wake_at__isnull=True),
                name="jobs_steprun_pooled",
            ),
            # Read by whoever comes to a step of the same run.
            models.Index(
                fields=["run", "generation", "id"],
                condition=models.Q(unsent=True, status="ready"),
                name="jobs_steprun_unsent",
            ),
            # Read by claims where a run of higher priority may be ready on the same queue.
            models.Index(
                fields=["queue", "-priority", "id"],
                condition=models.Q(status="ready", priority__gt=0),
                name="jobs_steprun_preferred",
            ),
            # Read by whoever gives a place under a limit back.
            models.Index(
                fields=["limit_name", "limit_key", "-priority", "id"],
                condition=models.Q(status="waiting", limit_name__isnull=False),
                name="jobs_steprun_limited",
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
        TIMEOUT = "timeout", "it took too long"

    id = models.BigAutoField(primary_key=True)
    step_run = models.ForeignKey(
        StepRun, on_delete=models.CASCADE, db_index=False, related_name="tries"
    )
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
    """The meeting point of a group's branches: `live` counts those that still hold a token.

    Of an `each`, `most` of its items may be live at once. `cut`: a branch was ended early
    (`on_failure="skip_rest"`), so nothing behind the group is to run.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, db_index=False, related_name="joins")
    generation = models.PositiveSmallIntegerField(default=1)
    name = models.CharField(max_length=250)
    live = models.PositiveIntegerField()
    most = models.IntegerField(null=True, blank=True)
    cut = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "generation", "name"], name="jobs_join_unique_name"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.live}"


class Memo(models.Model):
    """The value of a named sub-step (`ctx.run`): kept, so that a later attempt does not repeat
    it.
    """

    id = models.BigAutoField(primary_key=True)
    step_run = models.ForeignKey(
        StepRun, on_delete=models.CASCADE, db_index=False, related_name="memos"
    )
    name = models.CharField(max_length=200)
    value = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["step_run", "name"], name="jobs_memo_unique_name"),
        ]

    def __str__(self) -> str:
        return self.name
