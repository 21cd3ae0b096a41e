"""Events that wait for their time."""

from django.db import models
from django.db.models.functions import Now

from subscriptions.models.outbox import PlainJSONField


class ScheduledEvent(models.Model):
    """An event to be published at `due_at`; its row goes when it becomes one of the outbox.

    The event has an id of its own then, and this row's as `source_id`.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    company = models.TextField(null=True, editable=False)
    type = models.TextField(editable=False)
    version = models.IntegerField(null=True, editable=False)
    payload = PlainJSONField(editable=False)
    key = models.TextField(null=True, editable=False)
    due_at = models.DateTimeField("due at")
    correlation_id = models.TextField(null=True, editable=False)
    depth = models.IntegerField(default=0, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "event_system_scheduled_event"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "type", "key"],
                name="unique_scheduled_event_per_key",
                nulls_distinct=False,
                condition=models.Q(key__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.key or self.pk}"
