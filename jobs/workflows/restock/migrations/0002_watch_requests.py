from django.db import migrations

from subscriptions import AttachEventTrigger


class Migration(migrations.Migration):
    dependencies = [
        ("restock", "0001_orders_and_requests"),
        ("subscriptions", "0003_subscription_triggers"),
    ]

    operations = [AttachEventTrigger("restock_request", company="company")]
