"""What runs wait for, and what they will say when they have ended well."""

from django.db import models
from django.utils import timezone

from jobs.models.runs import Run
from jobs.models.steps import StepRun


class Wait(models.Model):
    """A step that waits for an event of this type whose payload contains `match`; the row goes when
    the wait is over.
    """

    step_run = models.OneToOneField(StepRun, on_delete=models.CASCADE, primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="waits")
    company = models.CharField(max_length=128, null=True, blank=True)
    event_type = models.CharField(max_length=200)
    match = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            # Read by the relay for every page of events.
            models.Index(fields=["event_type", "company"], name="jobs_wait_event"),
        ]

    def __str__(self) -> str:
        return self.event_type


class Signal(models.Model):
    """An event sent to one run (`run.send`), kept until a wait of that run takes it."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="signals")
    event_type = models.CharField(max_length=200)
    payload = models.JSONField()
    taken_by = models.ForeignKey(
        StepRun, on_delete=models.CASCADE, null=True, blank=True, related_name="signals"
    )
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.event_type


class PendingEvent(models.Model):
    """An event published by a step (`ctx.publish`), visible once its run has succeeded.

    `fence` is that of the attempt which published it: only the attempt that succeeded counts.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="pending_events")
    step_run = models.ForeignKey(StepRun, on_delete=models.CASCADE, related_name="pending_events")
    fence = models.BigIntegerField()
    event_type = models.CharField(max_length=200)
    payload = models.JSONField()
    key = models.TextField(null=True, blank=True)

    def __str__(self) -> str:
        return self.event_type
