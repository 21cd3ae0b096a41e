"""Who wants to hear of what, and what holds that back."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from encrypted_fields.fields import EncryptedTextField  # type: ignore[import-untyped]

from subscriptions.backoff import STANDARD
from subscriptions.models.outbox import Operation

STANDARD_TRIES = len(STANDARD) + 1


def row_operations() -> list[str]:
    return [Operation.INSERT, Operation.UPDATE, Operation.DELETE]


class Subscription(models.Model):
    """What a company wants to hear of, and what happens then; a company of NULL is the platform
    itself.
    """

    class Ordering(models.TextChoices):
        NONE = "none"
        RECORD = "record"

    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    company = models.TextField(null=True, blank=True)
    table = models.TextField(null=True, blank=True)
    event_type = models.TextField(null=True, blank=True)
    operations = ArrayField(models.TextField(choices=Operation.choices), default=row_operations)
    filter = models.JSONField(default=dict, blank=True)
    handler_type = models.TextField()
    config = models.JSONField(default=dict, blank=True)
    active = models.BooleanField(default=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    ordering = models.TextField(choices=Ordering.choices, default=Ordering.NONE)
    max_rate = models.IntegerField(null=True, blank=True)
    attempts = models.IntegerField(default=3)
    backoff = models.JSONField(default=dict, blank=True)
    batch_size = models.IntegerField(default=1)
    debounce = models.DurationField(null=True, blank=True)
    secret = EncryptedTextField(null=True, editable=False)
    previous_secret = EncryptedTextField(null=True, editable=False)
    previous_secret_until = models.DateTimeField(null=True, editable=False)
    secret_revealed_at = models.DateTimeField(null=True, editable=False)
    owner = models.TextField(null=True, blank=True)
    disabled_reason = models.TextField(null=True, editable=False)
    invalid_reason = models.TextField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        db_table = "event_system_subscription"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "name"],
                name="unique_subscription_name_per_company",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.company or 'platform'})"

    @property
    def tries(self) -> int:
        """How often a delivery is tried at most: the standard schedule has its own number."""
        return STANDARD_TRIES if self.backoff == "standard" else self.attempts


class Gate(models.Model):
    """What holds a subscription's deliveries back: its breaker, and its place in its rate.

    `failures` are in a row; until `open_until` only the probe is sent. `next_at` is when the
    subscription's `max_rate` has its next free place.
    """

    subscription = models.OneToOneField(
        Subscription, models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="gate"
    )
    failures = models.IntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    openings = models.IntegerField(default=0)
    open_until = models.DateTimeField(null=True)
    probe_id = models.BigIntegerField(null=True)
    next_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "event_system_gate"

    def __str__(self) -> str:
        return f"gate of subscription {self.pk}"
