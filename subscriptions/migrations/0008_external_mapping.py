"""What a record is called at an accounting provider."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0007_partitions")]

    operations = []
