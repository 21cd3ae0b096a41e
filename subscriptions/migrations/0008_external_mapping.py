"""What a record is called at an accounting provider, and a company's access to one."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
import encrypted_fields.fields
from django.db import migrations, models

from subscriptions.capture.operations import sql_file

SQL = Path(__file__).parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("subscriptions", "0007_partitions")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[sql_file(SQL, "0008_external_mapping")],
            state_operations=[
                migrations.CreateModel(
                    name="ExternalConnection",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("company", models.TextField(blank=True, null=True)),
                        ("provider", models.TextField()),
                        ("tenant_id", models.TextField()),
                        (
                            "access_token",
                            encrypted_fields.fields.EncryptedTextField(editable=False, null=True),
                        ),
                        (
                            "refresh_token",
                            encrypted_fields.fields.EncryptedTextField(editable=False, null=True),
                        ),
                        ("expires_at", models.DateTimeField(editable=False, null=True)),
                        (
                            "status",
                            models.TextField(
                                choices=[("active", "Active"), ("broken", "Broken")],
                                default="active",
                                editable=False,
                            ),
                        ),
                        ("error", models.TextField(default="", editable=False)),
                        (
                            "connected_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now(), editable=False
                            ),
                        ),
                        ("refreshed_at", models.DateTimeField(editable=False, null=True)),
                        ("paced_until", models.DateTimeField(editable=False, null=True)),
                        ("blocked_until", models.DateTimeField(editable=False, null=True)),
                        (
                            "calls_until",
                            django.contrib.postgres.fields.ArrayField(
                                base_field=models.DateTimeField(),
                                default=list,
                                editable=False,
                                size=None,
                            ),
                        ),
                        ("day_started_at", models.DateTimeField(editable=False, null=True)),
                        ("day_calls", models.IntegerField(default=0, editable=False)),
                    ],
                    options={
                        "db_table": "event_system_connection",
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("company", "provider"),
                                name="unique_connection_per_company_and_provider",
                                nulls_distinct=False,
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="ExternalMapping",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True, serialize=False)),
                        ("company", models.TextField(null=True)),
                        ("provider", models.TextField()),
                        ("entity", models.TextField()),
                        ("record_id", models.TextField()),
                        ("tenant_id", models.TextField(default="")),
                        ("external_id", models.TextField(null=True)),
                        ("external_version", models.TextField(default="")),
                        (
                            "status",
                            models.TextField(
                                choices=[
                                    ("pending", "Pending"),
                                    ("synced", "Synced"),
                                    ("failed", "Failed"),
                                    ("archived", "Archived"),
                                ],
                                default="pending",
                            ),
                        ),
                        ("last_error", models.TextField(default="")),
                        ("last_synced_at", models.DateTimeField(null=True)),
                        ("synced_hash", models.TextField(default="")),
                        ("pending_key", models.UUIDField(null=True)),
                        ("pending_payload", models.JSONField(null=True)),
                        ("busy_until", models.DateTimeField(null=True)),
                        ("slot_at", models.DateTimeField(null=True)),
                        ("delivery_id", models.BigIntegerField(null=True)),
                        (
                            "created_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now()
                            ),
                        ),
                        (
                            "updated_at",
                            models.DateTimeField(
                                db_default=django.db.models.functions.datetime.Now()
                            ),
                        ),
                        (
                            "subscription",
                            models.ForeignKey(
                                db_constraint=False,
                                null=True,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="mappings",
                                to="subscriptions.subscription",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "event_system_external_mapping",
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("company", "provider", "entity", "record_id"),
                                name="unique_external_mapping_per_record",
                                nulls_distinct=False,
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("external_id__isnull", False)),
                                fields=("company", "provider", "entity", "external_id"),
                                name="unique_external_id_per_entity",
                                nulls_distinct=False,
                            ),
                        ],
                    },
                ),
            ],
        )
    ]
