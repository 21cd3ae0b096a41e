"""Partitions made ahead and emptied; shards of the relay."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0006_statement_capture")]

    operations = []
