"""Who may use the functions of capture, whose code they run, and keys that change hands."""

from pathlib import Path

from django.db import migrations

import subscriptions.capture
from subscriptions.capture.operations import sql_file

SQL = Path(subscriptions.capture.__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0011_external_identity")]

    operations = [
        sql_file(
            SQL,
            "0012_capture_hardening",
            "0012_asked",
            "0012_subscription_guards",
            "0012_bodies",
            "0012_regenerate",
        )
    ]
