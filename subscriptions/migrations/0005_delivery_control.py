"""Order and collapse by record, batches, the gate of a subscription, its owner."""

from pathlib import Path

import django.db.models.deletion
import encrypted_fields.fields
from django.db import migrations, models

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0004_past_events")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0005_delivery_control")],
            state_operations=[
                migrations.CreateModel(
                    name="Gate",
                    fields=[
                        (
                            "subscription",
                            models.OneToOneField(
                                db_constraint=False,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                primary_key=True,
                                related_name="gate",
                                serialize=False,
                                to="subscriptions.subscription",
                            ),
                        ),
                        ("failures", models.IntegerField(default=0)),
                        ("failing_since", models.DateTimeField(null=True)),
                        ("openings", models.IntegerField(default=0)),
                        ("open_until", models.DateTimeField(null=True)),
                        ("probe_id", models.BigIntegerField(null=True)),
                        ("next_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "db_table": "event_system_gate",
                    },
                ),
                migrations.AddField(
                    model_name="delivery",
                    name="batch_id",
                    field=models.BigIntegerField(null=True),
                ),
                migrations.AddField(
                    model_name="delivery",
                    name="slot_at",
                    field=models.DateTimeField(null=True),
                ),
                migrations.AddField(
                    model_name="delivery",
                    name="record_key",
                    field=models.TextField(null=True),
                ),
                migrations.AddField(
                    model_name="subscription",
                    name="disabled_reason",
                    field=models.TextField(editable=False, null=True),
                ),
                migrations.AddField(
                    model_name="subscription",
                    name="owner",
                    field=models.TextField(blank=True, null=True),
                ),
                migrations.AddField(
                    model_name="subscription",
                    name="previous_secret",
                    field=encrypted_fields.fields.EncryptedTextField(editable=False, null=True),
                ),
                migrations.AddField(
                    model_name="subscription",
                    name="previous_secret_until",
                    field=models.DateTimeField(editable=False, null=True),
                ),
                migrations.AddField(
                    model_name="subscription",
                    name="secret_revealed_at",
                    field=models.DateTimeField(editable=False, null=True),
                ),
                migrations.AlterField(
                    model_name="delivery",
                    name="status",
                    field=models.TextField(
                        choices=[
                            ("pending", "Pending"),
                            ("running", "Running"),
                            ("retrying", "Retrying"),
                            ("waiting", "Waiting"),
                            ("queued", "Queued"),
                            ("held", "Held"),
                            ("delivered", "Delivered"),
                            ("superseded", "Superseded"),
                            ("dead", "Dead"),
                            ("expired", "Expired"),
                            ("blocked", "Blocked"),
                            ("canceled", "Canceled"),
                        ],
                        default="pending",
                    ),
                ),
            ],
        )
    ]
