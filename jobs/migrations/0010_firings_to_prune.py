from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0009_messages_by_demand"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="firing",
            index=models.Index(
                condition=models.Q(("run", None)),
                fields=["created_at"],
                name="jobs_firing_runless",
            ),
        ),
    ]
