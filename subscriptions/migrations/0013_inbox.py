"""What came from outside: the inbox and the dead letters."""

from pathlib import Path

import django.db.models.functions.datetime
from django.db import migrations, models

import subscriptions.models.outbox
from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"
Now = django.db.models.functions.datetime.Now


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0012_capture_hardening")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0013_inbox")],
            state_operations=[
                migrations.CreateModel(
                    name="Inbox",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("company", models.TextField(null=True)),
                        ("source", models.TextField()),
                        ("source_id", models.TextField()),
                        ("event_id", models.UUIDField()),
                        ("queue", models.TextField()),
                        ("message_id", models.TextField()),
                        ("attempts", models.IntegerField(null=True)),
                        ("receive_count", models.IntegerField(default=1)),
                        ("received_at", models.DateTimeField(db_default=Now())),
                    ],
                    options={
                        "db_table": "event_system_inbox",
                        "verbose_name_plural": "inbox",
                        "constraints": [
                            models.UniqueConstraint(
                                fields=["company", "source", "source_id"],
                                nulls_distinct=False,
                                name="unique_inbox_entry_per_source",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="DeadLetter",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("company", models.TextField(null=True)),
                        ("source", models.TextField()),
                        ("source_id", models.TextField()),
                        ("type", models.TextField(null=True)),
                        ("queue", models.TextField()),
                        ("message_id", models.TextField()),
                        ("reason", models.TextField()),
                        ("problem", models.TextField(default="")),
                        ("body", models.BinaryField()),
                        (
                            "attributes",
                            subscriptions.models.outbox.PlainJSONField(default=dict),
                        ),
                        ("receive_count", models.IntegerField(default=1)),
                        ("sent_at", models.DateTimeField()),
                        ("first_seen_at", models.DateTimeField(db_default=Now())),
                        ("last_seen_at", models.DateTimeField(db_default=Now())),
                        (
                            "status",
                            models.TextField(
                                choices=[
                                    ("open", "Open"),
                                    ("replayed", "Replayed"),
                                    ("discarded", "Discarded"),
                                ],
                                default="open",
                            ),
                        ),
                        ("replay_at", models.DateTimeField(null=True)),
                        ("replayed_body", models.BinaryField(null=True)),
                        ("event_id", models.UUIDField(null=True)),
                        ("decided_by", models.TextField(default="")),
                        ("decided_at", models.DateTimeField(null=True)),
                        ("decision", models.TextField(default="")),
                    ],
                    options={"db_table": "event_system_dead_letter"},
                ),
            ],
        ),
    ]
