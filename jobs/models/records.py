"""What people and clocks did to runs, and the keys of the API."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from jobs.models.runs import Run


class Action(models.Model):
    """One lever pulled on a run: which, by whom and why."""

    class Name(models.TextChoices):
        CANCEL = "cancel"
        RETRY = "retry"
        FORK = "fork"
        RESUME = "resume"
        RESOLVE = "resolve"

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="actions")
    name = models.CharField(max_length=16, choices=Name)
    node = models.CharField(max_length=250, null=True, blank=True)
    by = models.CharField(max_length=200)
    reason = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.name} by {self.by}"


class Firing(models.Model):
    """One slot of a schedule; the row is inserted in the transaction that starts its run, so a slot
    fires once, however many beats run.

    `queued` waits for the run of the slot before it to end; it gets its run then.
    """

    class Outcome(models.TextChoices):
        STARTED = "started"
        SKIPPED = "skipped", "skipped: the run before it was still going"
        QUEUED = "queued", "queued behind the run before it"

    id = models.BigAutoField(primary_key=True)
    workflow = models.CharField(max_length=200)
    slot = models.DateTimeField()
    outcome = models.CharField(max_length=16, choices=Outcome)
    run = models.ForeignKey(
        Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="firings"
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workflow", "slot"], name="jobs_firing_once_a_slot"),
        ]
        indexes = [
            # Read by beat several times a minute.
            models.Index(
                fields=["workflow", "slot"],
                condition=models.Q(outcome="queued"),
                name="jobs_firing_queued",
            ),
            # Read by prune.
            models.Index(
                fields=["created_at"],
                condition=models.Q(run=None),
                name="jobs_firing_runless",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.workflow} {self.slot:%Y-%m-%d %H:%M}"


class ApiKey(models.Model):
    """A company's key to the API: `prefix` finds it, `digest` (SHA-256, hexadecimal) proves it."""

    id = models.BigAutoField(primary_key=True)
    company = models.CharField(max_length=128)
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=50), default=list)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.company})"
