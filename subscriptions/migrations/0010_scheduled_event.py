"""Events that are published later."""

from pathlib import Path

import django.db.models.functions.datetime
from django.db import migrations, models

import subscriptions.models
from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0009_search")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0010_scheduled_event")],
            state_operations=[
                migrations.CreateModel(
                    name="ScheduledEvent",
                    fields=[
                        (
                            "id",
                            models.UUIDField(editable=False, primary_key=True, serialize=False),
                        ),
                        ("company", models.TextField(editable=False, null=True)),
                        ("type", models.TextField(editable=False)),
                        ("version", models.IntegerField(editable=False, null=True)),
                        ("payload", subscriptions.models.PlainJSONField(editable=False)),
                        ("key", models.TextField(editable=False, null=True)),
                        ("due_at", models.DateTimeField(verbose_name="due at")),
                        ("correlation_id", models.TextField(editable=False, null=True)),
                        ("depth", models.IntegerField(default=0, editable=False)),
                        (
                            "created_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(),
                                editable=False,
                            ),
                        ),
                        (
                            "updated_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(),
                                editable=False,
                            ),
                        ),
                    ],
                    options={"db_table": "event_system_scheduled_event"},
                ),
                migrations.AddConstraint(
                    model_name="scheduledevent",
                    constraint=models.UniqueConstraint(
                        condition=models.Q(("key__isnull", False)),
                        fields=("company", "type", "key"),
                        name="unique_scheduled_event_per_key",
                        nulls_distinct=False,
                    ),
                ),
            ],
        ),
    ]
