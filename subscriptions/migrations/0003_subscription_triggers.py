"""Let the database check subscriptions and keep the interest they declare."""

from pathlib import Path

from django.db import migrations

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0002_capture")]

    operations = [sql_file(SQL, "0003_subscription_triggers")]
