"""Find the deliveries that ended lately without being delivered."""

from pathlib import Path

from django.db import migrations

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0014_unroutable")]

    operations = [sql_file(SQL, "0016_ended_deliveries")]
