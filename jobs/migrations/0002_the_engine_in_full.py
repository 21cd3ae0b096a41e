import datetime

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0001_run_step_attempt_join"),
    ]

    operations = [
        migrations.CreateModel(
            name="Action",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        choices=[
                            ("cancel", "Cancel"),
                            ("retry", "Retry"),
                            ("fork", "Fork"),
                            ("resume", "Resume"),
                            ("resolve", "Resolve"),
                        ],
                        max_length=16,
                    ),
                ),
                ("node", models.CharField(blank=True, max_length=250, null=True)),
                ("by", models.CharField(max_length=200)),
                ("reason", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("company", models.CharField(max_length=128)),
                ("name", models.CharField(max_length=100)),
                ("prefix", models.CharField(max_length=16, unique=True)),
                ("digest", models.CharField(max_length=64)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=50), default=list, size=None
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "API key",
            },
        ),
        migrations.CreateModel(
            name="Firing",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("workflow", models.CharField(max_length=200)),
                ("slot", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("started", "Started"),
                            ("skipped", "skipped: the run before it was still going"),
                        ],
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=250)),
                ("key", models.CharField(max_length=200)),
                ("fence", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="Memo",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("value", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="PendingEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("fence", models.BigIntegerField()),
                ("event_type", models.CharField(max_length=200)),
                ("payload", models.JSONField()),
                ("key", models.TextField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="RateWindow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=250)),
                ("key", models.CharField(max_length=200)),
                (
                    "starts",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DateTimeField(), default=list, size=None
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Signal",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("event_type", models.CharField(max_length=200)),
                ("payload", models.JSONField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="Wait",
            fields=[
                (
                    "step_run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="jobs.steprun",
                    ),
                ),
                ("company", models.CharField(blank=True, max_length=128, null=True)),
                ("event_type", models.CharField(max_length=200)),
                ("match", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.RemoveIndex(
            model_name="steprun",
            name="jobs_steprun_wake",
        ),
        migrations.AddField(
            model_name="run",
            name="deadline_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="debounce_key",
            field=models.CharField(blank=True, max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="expires_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="forked_from",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="forks",
                to="jobs.run",
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="children",
                to="jobs.steprun",
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="pivoted",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="run",
            name="priority",
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="run",
            name="retention",
            field=models.DurationField(
                db_default=datetime.timedelta(days=30), default=datetime.timedelta(days=30)
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="singleton_key",
            field=models.CharField(blank=True, max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="turn_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="waiting_for",
            field=models.CharField(
                blank=True,
                choices=[
                    ("time", "Time"),
                    ("event", "Event"),
                    ("child", "child run"),
                    ("limit", "Limit"),
                    ("code", "code that is not deployed"),
                ],
                max_length=16,
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="steprun",
            name="each",
            field=models.CharField(blank=True, max_length=250, null=True),
        ),
        migrations.AddField(
            model_name="steprun",
            name="inherited",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="steprun",
            name="item",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="steprun",
            name="kind",
            field=models.CharField(db_default="step", default="step", max_length=16),
        ),
        migrations.AddField(
            model_name="steprun",
            name="limit_key",
            field=models.CharField(blank=True, max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="steprun",
            name="limit_name",
            field=models.CharField(blank=True, max_length=250, null=True),
        ),
        migrations.AddField(
            model_name="steprun",
            name="priority",
            field=models.SmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="steprun",
            name="progress",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="steprun",
            name="progress_note",
            field=models.TextField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="steprun",
            name="spent",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="steprun",
            name="value",
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="steprun",
            name="waiting_for",
            field=models.CharField(
                blank=True,
                choices=[
                    ("time", "Time"),
                    ("event", "Event"),
                    ("child", "child run"),
                    ("limit", "Limit"),
                    ("code", "code that is not deployed"),
                ],
                max_length=16,
                null=True,
            ),
        ),
        migrations.AlterField(
            model_name="attempt",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("succeeded", "Succeeded"),
                    ("failed", "Failed"),
                    ("skipped", "Skipped"),
                    ("lost", "its worker was lost"),
                    ("timeout", "it took too long"),
                ],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="steprun",
            name="phase",
            field=models.CharField(
                choices=[
                    ("forward", "Forward"),
                    ("compensation", "Compensation"),
                    ("on_failure", "told of the failure"),
                ],
                default="forward",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="steprun",
            name="status",
            field=models.CharField(
                choices=[
                    ("ready", "Ready"),
                    ("running", "Running"),
                    ("waiting", "Waiting"),
                    ("succeeded", "Succeeded"),
                    ("failed", "Failed"),
                    ("skipped", "Skipped"),
                    ("stopped", "stopped before it could start"),
                    ("resolved", "resolved by hand"),
                ],
                default="ready",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("turn_at__isnull", False)),
                fields=["turn_at"],
                name="jobs_run_turn",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(
                    ("status__in", ["queued", "running", "waiting"]), ("stop__isnull", True)
                ),
                fields=["deadline_at"],
                name="jobs_run_deadline",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False)),
                fields=["expires_at"],
                name="jobs_run_expired",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("parent__isnull", False)),
                fields=["parent"],
                name="jobs_run_parent",
            ),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(("status__in", ["ready", "running", "waiting"])),
                fields=["wake_at"],
                name="jobs_steprun_wake",
            ),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(("each__isnull", False)),
                fields=["run", "generation", "each", "item"],
                name="jobs_steprun_items",
            ),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(("priority__gt", 0), ("status", "ready")),
                fields=["queue", "-priority", "id"],
                name="jobs_steprun_preferred",
            ),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(("limit_name__isnull", False), ("status", "waiting")),
                fields=["limit_name", "limit_key", "-priority", "id"],
                name="jobs_steprun_limited",
            ),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.UniqueConstraint(
                condition=models.Q(("finished_at__isnull", True), ("singleton_key__isnull", False)),
                fields=("workflow", "company", "singleton_key"),
                name="jobs_run_one_live_singleton",
                nulls_distinct=False,
            ),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.UniqueConstraint(
                condition=models.Q(("debounce_key__isnull", False), ("status", "queued")),
                fields=("workflow", "company", "debounce_key"),
                name="jobs_run_one_debounced",
                nulls_distinct=False,
            ),
        ),
        migrations.AddField(
            model_name="action",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="actions", to="jobs.run"
            ),
        ),
        migrations.AddField(
            model_name="firing",
            name="run",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="firings",
                to="jobs.run",
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="holds", to="jobs.run"
            ),
        ),
        migrations.AddField(
            model_name="hold",
            name="step_run",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="holds",
                to="jobs.steprun",
            ),
        ),
        migrations.AddField(
            model_name="memo",
            name="step_run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="memos", to="jobs.steprun"
            ),
        ),
        migrations.AddField(
            model_name="pendingevent",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="pending_events",
                to="jobs.run",
            ),
        ),
        migrations.AddField(
            model_name="pendingevent",
            name="step_run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="pending_events",
                to="jobs.steprun",
            ),
        ),
        migrations.AddConstraint(
            model_name="ratewindow",
            constraint=models.UniqueConstraint(
                fields=("name", "key"), name="jobs_ratewindow_unique_key"
            ),
        ),
        migrations.AddField(
            model_name="signal",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="signals", to="jobs.run"
            ),
        ),
        migrations.AddField(
            model_name="signal",
            name="taken_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="signals",
                to="jobs.steprun",
            ),
        ),
        migrations.AddField(
            model_name="wait",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="waits", to="jobs.run"
            ),
        ),
        migrations.AddConstraint(
            model_name="firing",
            constraint=models.UniqueConstraint(
                fields=("workflow", "slot"), name="jobs_firing_once_a_slot"
            ),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(fields=["name", "key"], name="jobs_hold_limit"),
        ),
        migrations.AddConstraint(
            model_name="memo",
            constraint=models.UniqueConstraint(
                fields=("step_run", "name"), name="jobs_memo_unique_name"
            ),
        ),
        migrations.AddIndex(
            model_name="wait",
            index=models.Index(fields=["event_type", "company"], name="jobs_wait_event"),
        ),
    ]
