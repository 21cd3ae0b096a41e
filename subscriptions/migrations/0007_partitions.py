"""Partitions made ahead and emptied; shards of the relay."""

from pathlib import Path

from django.db import migrations, models

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0006_statement_capture")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0007_partitions")],
            state_operations=[
                migrations.AddField("relaycursor", "shards", models.IntegerField(default=1)),
                migrations.AddField("relaycursor", "earlier", models.JSONField(null=True)),
            ],
        )
    ]
