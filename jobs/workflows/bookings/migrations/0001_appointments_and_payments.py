import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Activity",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("company", models.CharField(max_length=128, null=True)),
                ("event_type", models.CharField(max_length=100)),
                ("subject", models.CharField(max_length=200)),
                ("text", models.TextField()),
                ("key", models.CharField(max_length=300, unique=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "verbose_name_plural": "activities",
                "db_table": "bookings_activity",
                "indexes": [
                    models.Index(fields=["company", "-id"], name="bookings_activity_company")
                ],
            },
        ),
        migrations.CreateModel(
            name="Appointment",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("company", models.CharField(max_length=128, null=True)),
                ("appointment_id", models.UUIDField()),
                (
                    "status",
                    models.CharField(
                        choices=[("planned", "Planned"), ("cancelled", "Cancelled")],
                        default="planned",
                        max_length=16,
                    ),
                ),
                ("starts_at", models.DateTimeField(null=True)),
                ("service", models.CharField(blank=True, max_length=200)),
                ("user_id", models.CharField(blank=True, max_length=128)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("email", models.CharField(blank=True, max_length=320)),
                ("phone", models.CharField(blank=True, max_length=32)),
                ("reminded_for", models.DateTimeField(null=True)),
                ("changed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "bookings_appointment",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("company", "appointment_id"),
                        name="unique_appointment_per_company",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("company", models.CharField(max_length=128, null=True)),
                (
                    "channel",
                    models.CharField(choices=[("email", "Email"), ("sms", "Sms")], max_length=8),
                ),
                ("user", models.CharField(max_length=320)),
                ("address", models.CharField(max_length=320)),
                ("template", models.CharField(max_length=64)),
                ("key", models.CharField(max_length=300, unique=True)),
                (
                    "sent_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "bookings_message",
                "indexes": [
                    models.Index(fields=["company", "-id"], name="bookings_message_company")
                ],
            },
        ),
        migrations.CreateModel(
            name="Payment",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("company", models.CharField(max_length=128, null=True)),
                ("payment_id", models.CharField(max_length=128)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("retrying", "Retrying"),
                            ("paid", "Paid"),
                            ("given_up", "Given Up"),
                            ("failed", "Failed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("amount", models.PositiveBigIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.TextField(blank=True)),
                ("last_answer", models.TextField(blank=True)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("run_id", models.UUIDField(null=True)),
                (
                    "failed_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "bookings_payment",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("company", "payment_id"),
                        name="unique_payment_per_company",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
    ]
