"""What came from outside: events taken in, and messages that could not become one."""

from django.db import models
from django.db.models.functions import Now

from subscriptions.models.outbox import PlainJSONField


class Inbox(models.Model):
    """One event that was taken in; its key is why it is taken in once."""

    id = models.BigAutoField(primary_key=True)
    company = models.TextField(null=True)
    source = models.TextField()
    source_id = models.TextField()
    event_id = models.UUIDField()
    queue = models.TextField()
    message_id = models.TextField()
    attempts = models.IntegerField(null=True)
    receive_count = models.IntegerField(default=1)
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "event_system_inbox"
        verbose_name_plural = "inbox"
        constraints = [
            models.UniqueConstraint(
                fields=["source_id", "source", "company"],
                nulls_distinct=False,
                name="unique_inbox_entry_per_source",
            )
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.source_id}"


class DeadLetter(models.Model):
    """A message from outside that could not become an event: `reason` is a code, `problem` says it.

    Open ones with a `replay_at` are tried again at that time. `body` stays as it was sent;
    `replayed_body` is what was sent on in its place.
    """

    class Status(models.TextChoices):
        OPEN = "open"
        REPLAYED = "replayed"
        DISCARDED = "discarded"

    id = models.BigAutoField(primary_key=True)
    company = models.TextField(null=True)
    source = models.TextField()
    source_id = models.TextField()
    type = models.TextField(null=True)
    queue = models.TextField()
    message_id = models.TextField()
    reason = models.TextField()
    problem = models.TextField(default="")
    body = models.BinaryField()
    attributes = PlainJSONField(default=dict)
    receive_count = models.IntegerField(default=1)
    sent_at = models.DateTimeField()
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    status = models.TextField(default=Status.OPEN, choices=Status.choices)
    replay_at = models.DateTimeField(null=True)
    replayed_body = models.BinaryField(null=True)
    event_id = models.UUIDField(null=True)
    decided_by = models.TextField(default="")
    decided_at = models.DateTimeField(null=True)
    decision = models.TextField(default="")

    class Meta:
        db_table = "event_system_dead_letter"

    def __str__(self) -> str:
        return f"{self.reason} {self.type or self.message_id}"
