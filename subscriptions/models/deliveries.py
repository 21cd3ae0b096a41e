"""Events on their way, and the tries."""

from django.db import models
from django.db.models.functions import Now

from subscriptions.models.definitions import Subscription
from subscriptions.models.outbox import Event


class Delivery(models.Model):
    """One event on its way to one subscription. `due_at` is when the sweep looks at it again.

    `pending` waits for a message that was sent (or is overdue), `retrying` for its time, `running`
    for a worker whose lease ends at `due_at`, `waiting` for an earlier delivery of its record,
    `queued` for its receiver to have room or be well again, `held` for a paused subscription to be
    resumed. `superseded` was not made: a later event of the record took its place.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        RETRYING = "retrying"
        WAITING = "waiting"
        QUEUED = "queued"
        HELD = "held"
        DELIVERED = "delivered"
        SUPERSEDED = "superseded"
        DEAD = "dead"
        EXPIRED = "expired"
        BLOCKED = "blocked"
        CANCELED = "canceled"

    id = models.BigIntegerField(primary_key=True)
    event_at = models.DateTimeField()
    event = models.ForeignKey(
        Event,
        models.DO_NOTHING,
        db_column="event_seq",
        db_constraint=False,
        related_name="deliveries",
    )
    event_uuid = models.UUIDField(db_column="event_id")
    subscription = models.ForeignKey(
        Subscription, models.DO_NOTHING, db_constraint=False, related_name="deliveries"
    )
    company = models.TextField(null=True)
    handler_type = models.TextField()
    status = models.TextField(choices=Status.choices, default=Status.PENDING)
    attempts = models.IntegerField(default=0)
    generation = models.IntegerField(default=1)
    due_at = models.DateTimeField(null=True)
    record_key = models.TextField(null=True)
    batch_id = models.BigIntegerField(null=True)
    slot_at = models.DateTimeField(null=True)
    error = models.TextField(default="")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "event_system_delivery"
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["event", "subscription", "event_at"],
                name="unique_delivery_per_event_and_subscription",
            )
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk}"


class DeliveryAttempt(models.Model):
    """One try: what was answered, or what went wrong, and how long it took."""

    class Status(models.TextChoices):
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.BigIntegerField(primary_key=True)
    delivery = models.ForeignKey(
        Delivery, models.DO_NOTHING, db_constraint=False, related_name="tries"
    )
    generation = models.IntegerField()
    number = models.IntegerField()
    status = models.TextField(choices=Status.choices)
    started_at = models.DateTimeField()
    duration = models.DurationField()
    status_code = models.IntegerField(null=True)
    response = models.TextField(default="")
    error = models.TextField(default="")

    class Meta:
        db_table = "event_system_delivery_attempt"

    def __str__(self) -> str:
        return f"attempt {self.number} of delivery {self.delivery_id}"
