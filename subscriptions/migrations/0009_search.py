"""The search index."""

from pathlib import Path

import django.contrib.postgres.search
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0008_external_mapping")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0009_search")],
            state_operations=[
                migrations.CreateModel(
                    name="SearchEntry",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        (
                            "subscription",
                            models.ForeignKey(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="search_entries",
                                to="subscriptions.subscription",
                            ),
                        ),
                        ("company", models.TextField(null=True)),
                        ("table", models.TextField()),
                        ("record_key", models.TextField()),
                        ("record_id", models.JSONField(null=True)),
                        ("seq", models.BigIntegerField()),
                        ("is_removed", models.BooleanField(default=False)),
                        ("title", models.TextField(default="")),
                        ("body", models.TextField(default="")),
                        ("fields", models.JSONField(default=dict)),
                        ("link", models.TextField(default="")),
                        ("folded", models.TextField(default="")),
                        (
                            "document",
                            django.contrib.postgres.search.SearchVectorField(default=""),
                        ),
                        (
                            "changed_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now()
                            ),
                        ),
                    ],
                    options={
                        "db_table": "event_system_search_entry",
                        "verbose_name_plural": "search entries",
                    },
                ),
                migrations.AddConstraint(
                    model_name="searchentry",
                    constraint=models.UniqueConstraint(
                        fields=("subscription", "table", "record_key"),
                        name="unique_search_entry_per_record",
                    ),
                ),
            ],
        ),
    ]
