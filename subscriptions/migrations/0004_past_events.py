"""Find the events of a type that a company has had since a moment."""

from pathlib import Path

from django.db import migrations

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0003_subscription_triggers")]

    operations = [sql_file(SQL, "0004_past_events")]
