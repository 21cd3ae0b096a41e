"""Make the event system's tables in SQL and tell Django about those it reads."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import encrypted_fields.fields
from django.db import migrations, models

import subscriptions.models
from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0001_tables")],
            state_operations=[
                migrations.CreateModel(
                    name="Delivery",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("event_at", models.DateTimeField()),
                        ("event_uuid", models.UUIDField(db_column="event_id")),
                        ("company", models.TextField(null=True)),
                        ("handler_type", models.TextField()),
                        (
                            "status",
                            models.TextField(
                                choices=[
                                    ("pending", "Pending"),
                                    ("running", "Running"),
                                    ("retrying", "Retrying"),
                                    ("held", "Held"),
                                    ("delivered", "Delivered"),
                                    ("dead", "Dead"),
                                    ("blocked", "Blocked"),
                                    ("canceled", "Canceled"),
                                ],
                                default="pending",
                            ),
                        ),
                        ("attempts", models.IntegerField(default=0)),
                        ("generation", models.IntegerField(default=1)),
                        ("due_at", models.DateTimeField(null=True)),
                        ("error", models.TextField(default="")),
                        (
                            "created_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now()
                            ),
                        ),
                        ("finished_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "verbose_name_plural": "deliveries",
                        "db_table": "event_system_delivery",
                    },
                ),
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("event_id", models.UUIDField(db_column="id", unique=True)),
                        ("recorded_at", models.DateTimeField()),
                        ("timestamp", models.DateTimeField()),
                        ("source", models.TextField()),
                        ("source_id", models.TextField(null=True)),
                        ("company", models.TextField(null=True)),
                        ("type", models.TextField(null=True)),
                        ("version", models.IntegerField(null=True)),
                        ("payload", subscriptions.models.PlainJSONField(null=True)),
                        ("table", models.TextField(null=True)),
                        (
                            "operation",
                            models.TextField(
                                choices=[
                                    ("INSERT", "Insert"),
                                    ("UPDATE", "Update"),
                                    ("DELETE", "Delete"),
                                    ("TRUNCATE", "Truncate"),
                                ],
                                null=True,
                            ),
                        ),
                        ("record_id", models.JSONField(null=True)),
                        ("new", subscriptions.models.PlainJSONField(null=True)),
                        ("old", subscriptions.models.PlainJSONField(null=True)),
                        ("key", models.TextField(null=True)),
                        ("correlation_id", models.TextField(null=True)),
                        ("depth", models.IntegerField(default=0)),
                        ("shard", models.SmallIntegerField(default=0)),
                    ],
                    options={
                        "db_table": "event_system_event",
                    },
                ),
                migrations.CreateModel(
                    name="RelayCursor",
                    fields=[
                        ("shard", models.IntegerField(primary_key=True, serialize=False)),
                        ("seen", models.TextField()),
                        ("reading", models.TextField()),
                        ("last_seq", models.BigIntegerField(default=0)),
                        ("system_identifier", models.BigIntegerField()),
                        (
                            "moved_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now()
                            ),
                        ),
                    ],
                    options={
                        "db_table": "event_system_relay_cursor",
                    },
                ),
                migrations.CreateModel(
                    name="DeliveryAttempt",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        ("generation", models.IntegerField()),
                        ("number", models.IntegerField()),
                        (
                            "status",
                            models.TextField(
                                choices=[("delivered", "Delivered"), ("failed", "Failed")]
                            ),
                        ),
                        ("started_at", models.DateTimeField()),
                        ("duration", models.DurationField()),
                        ("status_code", models.IntegerField(null=True)),
                        ("response", models.TextField(default="")),
                        ("error", models.TextField(default="")),
                        (
                            "delivery",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="tries",
                                to="subscriptions.delivery",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "event_system_delivery_attempt",
                    },
                ),
                migrations.AddField(
                    model_name="delivery",
                    name="event",
                    field=models.ForeignKey(
                        db_column="event_seq",
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="deliveries",
                        to="subscriptions.event",
                    ),
                ),
                migrations.CreateModel(
                    name="Subscription",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("name", models.TextField()),
                        ("company", models.TextField(blank=True, null=True)),
                        ("table", models.TextField(blank=True, null=True)),
                        ("event_type", models.TextField(blank=True, null=True)),
                        (
                            "operations",
                            django.contrib.postgres.fields.ArrayField(
                                base_field=models.TextField(
                                    choices=[
                                        ("INSERT", "Insert"),
                                        ("UPDATE", "Update"),
                                        ("DELETE", "Delete"),
                                        ("TRUNCATE", "Truncate"),
                                    ]
                                ),
                                default=subscriptions.models.row_operations,
                                size=None,
                            ),
                        ),
                        ("filter", models.JSONField(blank=True, default=dict)),
                        ("handler_type", models.TextField()),
                        ("config", models.JSONField(blank=True, default=dict)),
                        ("active", models.BooleanField(default=True)),
                        ("paused_at", models.DateTimeField(blank=True, null=True)),
                        (
                            "ordering",
                            models.TextField(
                                choices=[("none", "None"), ("record", "Record")], default="none"
                            ),
                        ),
                        ("max_rate", models.IntegerField(blank=True, null=True)),
                        ("attempts", models.IntegerField(default=3)),
                        ("backoff", models.JSONField(blank=True, default=dict)),
                        ("batch_size", models.IntegerField(default=1)),
                        ("debounce", models.DurationField(blank=True, null=True)),
                        (
                            "secret",
                            encrypted_fields.fields.EncryptedTextField(editable=False, null=True),
                        ),
                        ("invalid_reason", models.TextField(editable=False, null=True)),
                        (
                            "created_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(), editable=False
                            ),
                        ),
                        (
                            "updated_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(), editable=False
                            ),
                        ),
                    ],
                    options={
                        "db_table": "event_system_subscription",
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("company", "name"),
                                name="unique_subscription_name_per_company",
                                nulls_distinct=False,
                            )
                        ],
                    },
                ),
                migrations.AddField(
                    model_name="delivery",
                    name="subscription",
                    field=models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="deliveries",
                        to="subscriptions.subscription",
                    ),
                ),
                migrations.AddConstraint(
                    model_name="delivery",
                    constraint=models.UniqueConstraint(
                        fields=("event", "subscription", "event_at"),
                        name="unique_delivery_per_event_and_subscription",
                    ),
                ),
            ],
        ),
    ]
