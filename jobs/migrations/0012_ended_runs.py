"""Find the runs that ended lately, and those being undone, for the metrics."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0011_companies_of_staff")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["finished_at"],
                name="jobs_run_finished",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("status", "compensating")),
                fields=["created_at"],
                name="jobs_run_compensating",
            ),
        ),
    ]
