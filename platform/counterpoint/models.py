"""What the project counts: see `counterpoint.monitoring`."""

from django.db import models
from django.db.models.functions import Now


class Tally(models.Model):
    """How many there were of one kind, and how long they took: one bar of a histogram.

    `bucket` is the number of the first bound of `monitoring.sources` that is above the duration.
    Written by the watch only, in one statement for many.
    """

    id = models.BigAutoField(primary_key=True)
    family = models.TextField()
    handler = models.TextField()
    type = models.TextField()
    company = models.TextField()
    outcome = models.TextField()
    bucket = models.SmallIntegerField()
    count = models.BigIntegerField()
    seconds = models.FloatField()
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["family", "handler", "type", "company", "outcome", "bucket"],
                name="counterpoint_tally_one_a_bar",
            )
        ]

    def __str__(self) -> str:
        return f"{self.family} {self.type}: {self.count}"


class TallyLabel(models.Model):
    """A company or type that has a label of its own; the first so many do, the rest are one."""

    class Kind(models.TextChoices):
        COMPANY = "company"
        TYPE = "type"

    id = models.BigAutoField(primary_key=True)
    kind = models.TextField(choices=Kind)
    value = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["kind", "value"], name="counterpoint_tallylabel_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class TallyMark(models.Model):
    """Up to where a source has been counted.

    For what is numbered, `number` is the last counted one and `ceiling` the highest that was given
    out at `at`; for what has a time, all before `at` is counted; for events, what `snapshot` sees.
    """

    source = models.TextField(primary_key=True)
    at = models.DateTimeField()
    number = models.BigIntegerField(default=0)
    ceiling = models.BigIntegerField(default=0)
    snapshot = models.TextField(default="")

    def __str__(self) -> str:
        return self.source
