"""Nothing any more: `0004_waits.sql` holds its function, and `0009` brings databases up to date."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_fewer_indexes")]

    operations: list[object] = []
