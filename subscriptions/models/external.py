"""Accounting providers: what a company has granted, and what its records are called there."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now
from encrypted_fields.fields import EncryptedTextField  # type: ignore[import-untyped]

from subscriptions.models.definitions import Subscription


class ExternalConnection(models.Model):
    """A company's access to an accounting provider. Its tokens are encrypted and never shown.

    The columns from `paced_until` on are the pace of calls that all workers share: see
    `subscriptions.handlers.sync.pacing`.
    """

    class Status(models.TextChoices):
        ACTIVE = "active"
        BROKEN = "broken"

    id = models.BigAutoField(primary_key=True)
    company = models.TextField(null=True, blank=True)
    provider = models.TextField()
    tenant_id = models.TextField()
    access_token = EncryptedTextField(null=True, editable=False)
    refresh_token = EncryptedTextField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)
    status = models.TextField(choices=Status.choices, default=Status.ACTIVE, editable=False)
    error = models.TextField(default="", editable=False)
    connected_at = models.DateTimeField(db_default=Now(), editable=False)
    refreshed_at = models.DateTimeField(null=True, editable=False)
    paced_until = models.DateTimeField(null=True, editable=False)
    blocked_until = models.DateTimeField(null=True, editable=False)
    calls_until = ArrayField(models.DateTimeField(), default=list, editable=False)
    day_started_at = models.DateTimeField(null=True, editable=False)
    day_calls = models.IntegerField(default=0, editable=False)

    class Meta:
        db_table = "event_system_connection"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "provider"],
                name="unique_connection_per_company_and_provider",
                nulls_distinct=False,
            )
        ]

    def __str__(self) -> str:
        return f"{self.provider} of {self.company or 'the platform'}"


class ExternalMapping(models.Model):
    """What a record is called at an accounting provider, and how its last push went.

    `synced_hash` stands for what the provider surely holds; it is empty while that is not known.
    `pending_key` and `pending_payload` are a creation whose answer is not known yet. `slot_at` is
    this record's place in the provider's rate, `busy_until` the end of a worker's turn and the
    token of it: who does not hold it any more writes nothing.
    """

    class Status(models.TextChoices):
        PENDING = "pending"
        SYNCED = "synced"
        FAILED = "failed"
        ARCHIVED = "archived"

    id = models.BigAutoField(primary_key=True)
    company = models.TextField(null=True)
    provider = models.TextField()
    entity = models.TextField()
    table = models.TextField(default="")
    record_id = models.TextField()
    tenant_id = models.TextField(default="")
    external_id = models.TextField(null=True)
    external_version = models.TextField(default="")
    status = models.TextField(choices=Status.choices, default=Status.PENDING)
    last_error = models.TextField(default="")
    last_synced_at = models.DateTimeField(null=True)
    synced_hash = models.TextField(default="")
    pending_key = models.UUIDField(null=True)
    pending_payload = models.JSONField(null=True)
    busy_until = models.DateTimeField(null=True)
    slot_at = models.DateTimeField(null=True)
    subscription = models.ForeignKey(
        Subscription, models.DO_NOTHING, null=True, db_constraint=False, related_name="mappings"
    )
    delivery_id = models.BigIntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "event_system_external_mapping"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "provider", "entity", "table", "record_id"],
                name="unique_external_mapping_per_record",
                nulls_distinct=False,
            ),
            models.UniqueConstraint(
                fields=["company", "provider", "tenant_id", "entity", "external_id"],
                name="unique_external_id_per_entity",
                nulls_distinct=False,
                condition=models.Q(external_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity} {self.record_id} at {self.provider}"
