"""Make the functions and the view for watching tables."""

from pathlib import Path

from django.db import migrations

import subscriptions.capture
from subscriptions.capture.operations import sql_file

SQL = Path(subscriptions.capture.__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0001_tables")]

    operations = [sql_file(SQL, "0002_capture", "0002_bodies")]
