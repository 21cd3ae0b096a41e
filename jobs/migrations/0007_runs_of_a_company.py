"""Find a company's newest runs, and a run's forks, by index."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0006_offer_by_index")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["company", "-id"], name="jobs_run_company"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("forked_from__isnull", False)),
                fields=["forked_from"],
                name="jobs_run_forks",
            ),
        ),
    ]
