"""A record's table and a connection's organisation are part of what an external id stands for."""

from pathlib import Path

from django.db import migrations, models

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0010_scheduled_event")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0011_external_identity")],
            state_operations=[
                migrations.RemoveConstraint(
                    "externalmapping", "unique_external_mapping_per_record"
                ),
                migrations.RemoveConstraint("externalmapping", "unique_external_id_per_entity"),
                migrations.AddField("externalmapping", "table", models.TextField(default="")),
                migrations.AddConstraint(
                    "externalmapping",
                    models.UniqueConstraint(
                        fields=["company", "provider", "entity", "table", "record_id"],
                        name="unique_external_mapping_per_record",
                        nulls_distinct=False,
                    ),
                ),
                migrations.AddConstraint(
                    "externalmapping",
                    models.UniqueConstraint(
                        fields=["company", "provider", "tenant_id", "entity", "external_id"],
                        name="unique_external_id_per_entity",
                        nulls_distinct=False,
                        condition=models.Q(external_id__isnull=False),
                    ),
                ),
            ],
        ),
    ]
