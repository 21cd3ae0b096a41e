"""Capture by statement, and what becomes of a watched table that is dropped or renamed."""

from pathlib import Path

from django.db import migrations

import subscriptions.capture
from subscriptions.capture.operations import sql_file

SQL = Path(subscriptions.capture.__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0005_delivery_control")]

    operations = [
        sql_file(SQL, "0006_statement_bodies", "0006_statement_capture", "0006_altered_tables")
    ]
