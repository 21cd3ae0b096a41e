"""Make the functions that change runs and steps."""

from importlib.resources import files

from django.db import migrations, models


def sql(name: str) -> str:
    return files("jobs.sql").joinpath(f"{name}.sql").read_text()


class Migration(migrations.Migration):
    dependencies = [("jobs", "0003_queued_firings")]

    operations = [
        migrations.AddField("join", "cut", models.BooleanField(default=False, db_default=False)),
        migrations.RunSQL(
            [
                # They are of today, and name columns that later migrations add.
                "SET LOCAL check_function_bodies = off",
                *(sql("0004_steps"), sql("0004_runs"), sql("0004_waits")),
            ],
            sql("0004_reverse"),
        ),
    ]
