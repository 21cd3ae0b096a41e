"""Capture by statement, and what becomes of a watched table that is dropped."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0005_delivery_control")]

    operations = []
