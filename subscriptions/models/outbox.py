"""The outbox, and how far the relays have read it."""

import json
from typing import Any

from django.db import models
from django.db.models.functions import Now


class Operation(models.TextChoices):
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    TRUNCATE = "TRUNCATE"


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


class RelayCursor(models.Model):
    """How far the relay of one shard of `shards` has read: see `subscriptions.cursor`."""

    shard = models.IntegerField(primary_key=True)
    shards = models.IntegerField(default=1)
    seen = models.TextField()
    reading = models.TextField()
    last_seq = models.BigIntegerField(default=0)
    highest_seq = models.BigIntegerField(default=0)
    system_identifier = models.BigIntegerField()
    earlier = models.JSONField(null=True)
    moved_at = models.DateTimeField(db_default=Now())

    class Meta:
        db_table = "event_system_relay_cursor"

    def __str__(self) -> str:
        return f"shard {self.shard}"
