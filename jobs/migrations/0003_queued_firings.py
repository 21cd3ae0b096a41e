from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0002_the_engine_in_full"),
    ]

    operations = [
        migrations.AlterField(
            model_name="firing",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("started", "Started"),
                    ("skipped", "skipped: the run before it was still going"),
                    ("queued", "queued behind the run before it"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="firing",
            index=models.Index(
                condition=models.Q(("outcome", "queued")),
                fields=["workflow", "slot"],
                name="jobs_firing_queued",
            ),
        ),
    ]
