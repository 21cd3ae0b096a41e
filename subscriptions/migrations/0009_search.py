"""The search index."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0008_external_mapping")]

    operations = []
