import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Customer",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("company", models.CharField(max_length=128)),
                ("env", models.CharField(default="live", max_length=32)),
                ("customer_id", models.CharField(max_length=128)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("email", models.EmailField(blank=True, max_length=254)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
            ],
            options={
                "db_table": "billing_customer",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("company", "env", "customer_id"),
                        name="unique_customer_per_company_and_env",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CustomerProduct",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("customer_product_id", models.CharField(max_length=128)),
                ("product_id", models.CharField(max_length=128)),
                ("name", models.CharField(blank=True, max_length=200)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("active", "Active"),
                            ("trialing", "Trialing"),
                            ("past_due", "Past Due"),
                            ("scheduled", "Scheduled"),
                            ("expired", "Expired"),
                        ],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("quantity", models.PositiveIntegerField(default=1)),
                (
                    "started_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now()),
                ),
                ("canceled_at", models.DateTimeField(blank=True, null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="products",
                        to="billing.customer",
                    ),
                ),
            ],
            options={
                "db_table": "billing_customer_product",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer", "customer_product_id"),
                        name="unique_product_of_customer",
                    )
                ],
            },
        ),
    ]
