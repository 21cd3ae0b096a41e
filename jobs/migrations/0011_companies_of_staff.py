"""Note which company a member of staff is held to."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("jobs", "0010_firings_to_prune"),
    ]

    operations = [
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="membership",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("company", models.CharField(max_length=128)),
            ],
            options={
                "verbose_name": "company of a staff member",
                "verbose_name_plural": "companies of staff",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("company", ""), _negated=True),
                        name="membership_names_a_company",
                    )
                ],
            },
        ),
    ]
