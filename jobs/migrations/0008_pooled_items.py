from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0007_runs_of_a_company"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="steprun",
            name="jobs_steprun_items",
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(
                    ("each__isnull", False), ("status", "ready"), ("wake_at__isnull", True)
                ),
                fields=["run", "generation", "each", "item"],
                name="jobs_steprun_pooled",
            ),
        ),
    ]
