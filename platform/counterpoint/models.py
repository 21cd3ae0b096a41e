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


class Heartbeat(models.Model):
    """When a process that leaves no other trace was last seen at work, by the database's clock."""

    process = models.TextField(primary_key=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.process


class AlertRound(models.Model):
    """The minute in which the rules were looked at last, and by whom: one row.

    `history` are the counts of tries and runs some minutes back, `problems` what kept a rule from
    being looked at.
    """

    id = models.SmallIntegerField(primary_key=True, default=1)
    began_at = models.DateTimeField(db_default=Now())
    at = models.DateTimeField()
    by = models.TextField(default="")
    history = models.JSONField(default=list)
    problems = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(id=1), name="counterpoint_alertround_one")
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"


class Incident(models.Model):
    """A rule that fires for a subject, from the first look that saw it to the end.

    `pending` has not fired often enough in a row to be told of. `fired` and `quiet` are looks in a
    row; the message tells of `text`, which is that of the newest look.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        OPEN = "open"
        CLOSED = "closed"

    id = models.BigAutoField(primary_key=True)
    rule = models.TextField()
    subject = models.TextField()
    status = models.TextField(choices=Status, default=Status.PENDING)
    text = models.TextField()
    value = models.FloatField()
    fired = models.IntegerField(default=1)
    quiet = models.IntegerField(default=0)
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    opened_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"],
                condition=~models.Q(status="closed"),
                name="counterpoint_incident_one_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class Notice(models.Model):
    """One message of an incident by one channel, sent when it is `due_at`, once.

    `channel` is its name, never its URL, which may hold a secret. `attempts` is the fencing token.
    """

    class Kind(models.TextChoices):
        OPENED = "opened"
        CLOSED = "closed"

    id = models.BigAutoField(primary_key=True)
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="notices")
    kind = models.TextField(choices=Kind)
    channel = models.TextField()
    attempts = models.IntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True)
    given_up_at = models.DateTimeField(null=True)
    error = models.TextField(default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["incident", "kind", "channel"], name="counterpoint_notice_once"
            )
        ]
        indexes = [
            # Read by the watch every few seconds.
            models.Index(
                fields=["due_at"],
                condition=models.Q(sent_at__isnull=True, given_up_at__isnull=True),
                name="counterpoint_notice_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} by {self.channel}"
