"""The event system's rows. The tables, their triggers and their partitions are made by SQL in
migrations.

The outbox, deliveries and attempts are partitioned by time. Their primary keys in the database
include that time; Django, which wants one column, is told the column that is unique by its
sequence.
"""

import json
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.functions import Now
from encrypted_fields.fields import EncryptedTextField  # type: ignore[import-untyped]

from subscriptions.backoff import STANDARD

STANDARD_TRIES = len(STANDARD) + 1


class Operation(models.TextChoices):
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"


def row_operations() -> list[str]:
    return [Operation.INSERT, Operation.UPDATE, Operation.DELETE]


class PlainJSONField(models.JSONField):
    """A `json` column, read as text: what Python's parser refuses is shown as it stands."""

    def db_type(self, connection: Any) -> str:
        return "json"

    def select_format(self, compiler: Any, sql: str, params: Any) -> tuple[str, Any]:
        return f"{sql}::text", params

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if value is None:
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value


class Event(models.Model):
    """One row of the outbox: INSERT only, written by triggers, `publish` and ingest, read by the
    relay.
    """

    seq = models.BigIntegerField(primary_key=True)
    event_id = models.UUIDField(db_column="id", unique=True)
    recorded_at = models.DateTimeField()
    timestamp = models.DateTimeField()
    source = models.TextField()
    source_id = models.TextField(null=True)
    company = models.TextField(null=True)
    type = models.TextField(null=True)
    version = models.IntegerField(null=True)
    payload = PlainJSONField(null=True)
    table = models.TextField(null=True)
    operation = models.TextField(null=True, choices=Operation.choices)
    record_id = models.JSONField(null=True)
    new = PlainJSONField(null=True)
    old = PlainJSONField(null=True)
    key = models.TextField(null=True)
    correlation_id = models.TextField(null=True)
    depth = models.IntegerField(default=0)
    shard = models.SmallIntegerField(default=0)

    class Meta:
        db_table = "event_system_event"

    def __str__(self) -> str:
        return f"{self.type or f'{self.table} {self.operation}'} {self.event_id}"


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


class RelayCursor(models.Model):
    """How far the relay of one shard of `shards` has read: see `subscriptions.cursor`."""

    shard = models.IntegerField(primary_key=True)
    shards = models.IntegerField(default=1)
    seen = models.TextField()
    reading = models.TextField()
    last_seq = models.BigIntegerField(default=0)
    system_identifier = models.BigIntegerField()
    earlier = models.JSONField(null=True)
    moved_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "event_system_relay_cursor"

    def __str__(self) -> str:
        return f"shard {self.shard}"


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
    this record's place in the provider's rate, `busy_until` the end of a worker's turn.
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
                fields=["company", "provider", "entity", "record_id"],
                name="unique_external_mapping_per_record",
                nulls_distinct=False,
            ),
            models.UniqueConstraint(
                fields=["company", "provider", "entity", "external_id"],
                name="unique_external_id_per_entity",
                nulls_distinct=False,
                condition=models.Q(external_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity} {self.record_id} at {self.provider}"


class SearchEntry(models.Model):
    """What the search index says of one record, as of event `seq`: see `subscriptions.search`.

    A removed record keeps its row, empty, until no older event can come any more. The row whose
    `record_key` is empty says as of when the table was emptied.
    """

    id = models.BigAutoField(primary_key=True)
    subscription = models.ForeignKey(
        Subscription, models.DO_NOTHING, db_constraint=False, related_name="search_entries"
    )
    company = models.TextField(null=True)
    table = models.TextField()
    record_key = models.TextField()
    record_id = models.JSONField(null=True)
    seq = models.BigIntegerField()
    is_removed = models.BooleanField(default=False)
    title = models.TextField(default="")
    body = models.TextField(default="")
    fields = models.JSONField(default=dict)
    link = models.TextField(default="")
    folded = models.TextField(default="")
    document = SearchVectorField(default="")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "event_system_search_entry"
        verbose_name_plural = "search entries"
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "table", "record_key"],
                name="unique_search_entry_per_record",
            )
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.table} {self.record_key})"
