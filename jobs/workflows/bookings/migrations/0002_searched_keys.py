from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("bookings", "0001_appointments_and_payments"),
    ]

    operations = [
        migrations.AlterField(
            model_name="activity",
            name="subject",
            field=models.CharField(db_index=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="appointment",
            name="appointment_id",
            field=models.UUIDField(db_index=True),
        ),
        migrations.AlterField(
            model_name="message",
            name="address",
            field=models.CharField(db_index=True, max_length=320),
        ),
        migrations.AlterField(
            model_name="message",
            name="user",
            field=models.CharField(db_index=True, max_length=320),
        ),
        migrations.AlterField(
            model_name="payment",
            name="payment_id",
            field=models.CharField(db_index=True, max_length=128),
        ),
        migrations.AlterField(
            model_name="payment",
            name="run_id",
            field=models.UUIDField(db_index=True, null=True),
        ),
    ]
