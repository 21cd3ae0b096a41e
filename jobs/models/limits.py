"""Who holds a place under a limit, and when starts under a rate happened."""

from django.contrib.postgres.fields import ArrayField
from django.db import models

from jobs.models.runs import Run
from jobs.models.steps import StepRun


class Hold(models.Model):
    """A place under a concurrency limit.

    A step's counts while the step runs under this `fence` and its lease has not expired, so that a
    dead worker's place falls free; a run's counts until the run has ended.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=250)
    key = models.CharField(max_length=200)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="holds")
    step_run = models.ForeignKey(
        StepRun, on_delete=models.CASCADE, null=True, blank=True, related_name="holds"
    )
    fence = models.BigIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["name", "key"], name="jobs_hold_limit")]

    def __str__(self) -> str:
        return f"{self.name} {self.key}"


class RateWindow(models.Model):
    """The last starts under a rate, the newest last; at most as many as the rate allows."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=250)
    key = models.CharField(max_length=200)
    starts = ArrayField(models.DateTimeField(), default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "key"], name="jobs_ratewindow_unique_key"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.key}"
