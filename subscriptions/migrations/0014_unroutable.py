"""Events that could not be routed, and how far each cursor has come in the outbox at all."""

from pathlib import Path

from django.db import migrations, models

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0013_inbox")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0014_unroutable")],
            state_operations=[
                migrations.AddField(
                    "relaycursor", "highest_seq", models.BigIntegerField(default=0)
                ),
            ],
        )
    ]
