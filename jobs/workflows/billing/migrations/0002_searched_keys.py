from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0001_customers_and_products"),
    ]

    operations = [
        migrations.AlterField(
            model_name="customer",
            name="customer_id",
            field=models.CharField(db_index=True, max_length=128),
        ),
        migrations.AlterField(
            model_name="customerproduct",
            name="customer_product_id",
            field=models.CharField(db_index=True, max_length=128),
        ),
    ]
