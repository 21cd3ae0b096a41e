"""Tables of incidents, their messages, and of who was seen at work."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("counterpoint", "0001_tallies"),
    ]

    operations = [
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("process", models.TextField(primary_key=True, serialize=False)),
                ("seen_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="AlertRound",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                (
                    "began_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("at", models.DateTimeField()),
                ("by", models.TextField(default="")),
                ("history", models.JSONField(default=list)),
                ("problems", models.JSONField(default=dict)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("id", 1)), name="counterpoint_alertround_one"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Incident",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("rule", models.TextField()),
                ("subject", models.TextField()),
                (
                    "status",
                    models.TextField(
                        choices=[("pending", "Pending"), ("open", "Open"), ("closed", "Closed")],
                        default="pending",
                    ),
                ),
                ("text", models.TextField()),
                ("value", models.FloatField()),
                ("fired", models.IntegerField(default=1)),
                ("quiet", models.IntegerField(default=0)),
                ("began_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField()),
                ("opened_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "closed"), _negated=True),
                        fields=("rule", "subject"),
                        name="counterpoint_incident_one_at_a_time",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("kind", models.TextField(choices=[("opened", "Opened"), ("closed", "Closed")])),
                ("channel", models.TextField()),
                ("attempts", models.IntegerField(default=0)),
                (
                    "due_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("sent_at", models.DateTimeField(null=True)),
                ("given_up_at", models.DateTimeField(null=True)),
                ("error", models.TextField(default="")),
                (
                    "incident",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notices",
                        to="counterpoint.incident",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(
                            ("given_up_at__isnull", True), ("sent_at__isnull", True)
                        ),
                        fields=["due_at"],
                        name="counterpoint_notice_due",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("incident", "kind", "channel"), name="counterpoint_notice_once"
                    )
                ],
            },
        ),
    ]
