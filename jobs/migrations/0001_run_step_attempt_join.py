import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import jobs.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Definition",
            fields=[
                ("hash", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("workflow", models.CharField(max_length=200)),
                ("plan", models.JSONField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=jobs.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("workflow", models.CharField(max_length=200)),
                ("company", models.CharField(blank=True, max_length=128, null=True)),
                ("env", models.CharField(default="live", max_length=32)),
                ("queue", models.CharField(max_length=80)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("waiting", "Waiting"),
                            ("compensating", "Compensating"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=16,
                    ),
                ),
                (
                    "rollback",
                    models.CharField(
                        choices=[
                            ("not_needed", "Not Needed"),
                            ("complete", "Complete"),
                            ("incomplete", "Incomplete"),
                        ],
                        default="not_needed",
                        max_length=16,
                    ),
                ),
                (
                    "stop",
                    models.CharField(
                        blank=True,
                        choices=[("failed", "Failed"), ("cancelled", "Cancelled")],
                        max_length=16,
                        null=True,
                    ),
                ),
                ("generation", models.PositiveSmallIntegerField(default=1)),
                ("input", models.JSONField()),
                ("output", models.JSONField(blank=True, null=True)),
                ("error", models.JSONField(blank=True, null=True)),
                ("rollback_plan", models.JSONField(blank=True, null=True)),
                ("idempotency_key", models.CharField(blank=True, max_length=200, null=True)),
                ("correlation_id", models.CharField(blank=True, max_length=200, null=True)),
                ("depth", models.PositiveSmallIntegerField(default=0)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "definition",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="runs",
                        to="jobs.definition",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Join",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("generation", models.PositiveSmallIntegerField(default=1)),
                ("name", models.CharField(max_length=250)),
                ("live", models.PositiveIntegerField()),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="joins",
                        to="jobs.run",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="StepRun",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("generation", models.PositiveSmallIntegerField(default=1)),
                ("node", models.CharField(max_length=250)),
                ("step", models.CharField(max_length=200)),
                (
                    "phase",
                    models.CharField(
                        choices=[("forward", "Forward"), ("compensation", "Compensation")],
                        default="forward",
                        max_length=16,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("ready", "Ready"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("skipped", "Skipped"),
                            ("stopped", "stopped before it could start"),
                        ],
                        default="ready",
                        max_length=16,
                    ),
                ),
                ("queue", models.CharField(max_length=80)),
                ("needs", models.JSONField(default=list)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("fence", models.BigIntegerField(default=0)),
                ("worker", models.CharField(blank=True, max_length=200, null=True)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("wake_at", models.DateTimeField(blank=True, null=True)),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                ("output", models.JSONField(blank=True, null=True)),
                ("undo", models.JSONField(blank=True, null=True)),
                ("error", models.JSONField(blank=True, null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="steps",
                        to="jobs.run",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("skipped", "Skipped"),
                            ("lost", "its worker was lost"),
                        ],
                        max_length=16,
                    ),
                ),
                ("error", models.JSONField(blank=True, null=True)),
                ("worker", models.CharField(blank=True, max_length=200, null=True)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField()),
                (
                    "step_run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tries",
                        to="jobs.steprun",
                    ),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(
                    ("status__in", ["queued", "running", "waiting"]), ("stop__isnull", False)
                ),
                fields=["created_at"],
                name="jobs_run_stopping",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["-created_at"], name="jobs_run_newest"),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.UniqueConstraint(
                condition=models.Q(("idempotency_key__isnull", False)),
                fields=("workflow", "company", "idempotency_key"),
                name="jobs_run_unique_idempotency_key",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("finished_at__isnull", False),
                        ("status__in", ["succeeded", "failed", "cancelled"]),
                    ),
                    models.Q(
                        models.Q(
                            ("status__in", ["succeeded", "failed", "cancelled"]), _negated=True
                        ),
                        ("finished_at__isnull", True),
                        ("rollback", "not_needed"),
                    ),
                    _connector="OR",
                ),
                name="jobs_run_ended_with_its_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="join",
            constraint=models.UniqueConstraint(
                fields=("run", "generation", "name"), name="jobs_join_unique_name"
            ),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(("status__in", ["ready", "running"])),
                fields=["wake_at"],
                name="jobs_steprun_wake",
            ),
        ),
        migrations.AddConstraint(
            model_name="steprun",
            constraint=models.UniqueConstraint(
                fields=("run", "generation", "node"), name="jobs_steprun_unique_node"
            ),
        ),
        migrations.AddConstraint(
            model_name="steprun",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("lease_until__isnull", False), ("status", "running")),
                    models.Q(
                        models.Q(("status", "running"), _negated=True),
                        ("lease_until__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="jobs_steprun_leased_while_running",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(
                fields=("step_run", "number"), name="jobs_attempt_unique_number"
            ),
        ),
    ]
