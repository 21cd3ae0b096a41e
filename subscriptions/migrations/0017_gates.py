"""What another definition does to a subscription's gate, for all rows of a statement at once."""

from pathlib import Path

from django.db import migrations

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0016_ended_deliveries")]

    operations = [sql_file(SQL, "0017_gates")]
