"""Send of an `each` and a wide group what workers come for; the functions as they are now."""

from importlib.resources import files

from django.db import migrations, models

FUNCTIONS = ("0004_steps", "0004_runs", "0004_waits")


class Migration(migrations.Migration):
    dependencies = [("jobs", "0008_pooled_items")]

    operations = [
        migrations.AddField("join", "most", models.IntegerField(null=True, blank=True)),
        migrations.AddField(
            "steprun", "unsent", models.BooleanField(default=False, db_default=False)
        ),
        migrations.AddIndex(
            "steprun",
            models.Index(
                condition=models.Q(unsent=True, status="ready"),
                fields=["run", "generation", "id"],
                name="jobs_steprun_unsent",
            ),
        ),
        migrations.RunSQL(
            [
                # It takes one more argument than it did.
                "DROP FUNCTION IF EXISTS"
                " jobs_expand(bigint, bigint, jsonb, text, text, text, jsonb, int, interval)",
                *(files("jobs.sql").joinpath(f"{name}.sql").read_text() for name in FUNCTIONS),
            ],
            migrations.RunSQL.noop,
        ),
    ]
