"""Tables of what is counted for the metrics."""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="TallyMark",
            fields=[
                ("source", models.TextField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
                ("number", models.BigIntegerField(default=0)),
                ("ceiling", models.BigIntegerField(default=0)),
                ("snapshot", models.TextField(default="")),
            ],
        ),
        migrations.CreateModel(
            name="Tally",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("family", models.TextField()),
                ("handler", models.TextField()),
                ("type", models.TextField()),
                ("company", models.TextField()),
                ("outcome", models.TextField()),
                ("bucket", models.SmallIntegerField()),
                ("count", models.BigIntegerField()),
                ("seconds", models.FloatField()),
                (
                    "changed_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("family", "handler", "type", "company", "outcome", "bucket"),
                        name="counterpoint_tally_one_a_bar",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="TallyLabel",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.TextField(choices=[("company", "Company"), ("type", "Type")]),
                ),
                ("value", models.TextField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("kind", "value"), name="counterpoint_tallylabel_once"
                    )
                ],
            },
        ),
    ]
