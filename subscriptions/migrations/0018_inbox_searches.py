"""Indexes for what staff look for in the inbox and among dead letters."""

from pathlib import Path

from django.db import migrations, models

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"
NAME = "unique_inbox_entry_per_source"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0017_gates")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0018_inbox_searches")],
            state_operations=[
                migrations.RemoveConstraint("inbox", NAME),
                migrations.AddConstraint(
                    "inbox",
                    models.UniqueConstraint(
                        fields=["source_id", "source", "company"],
                        nulls_distinct=False,
                        name=NAME,
                    ),
                ),
            ],
        )
    ]
