import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("jobs", "0004_functions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="attempt",
            name="step_run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="tries",
                to="jobs.steprun",
            ),
        ),
        migrations.AlterField(
            model_name="join",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="joins",
                to="jobs.run",
            ),
        ),
        migrations.AlterField(
            model_name="memo",
            name="step_run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="memos",
                to="jobs.steprun",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="definition",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="runs",
                to="jobs.definition",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="forked_from",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="forks",
                to="jobs.run",
            ),
        ),
        migrations.AlterField(
            model_name="run",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="children",
                to="jobs.steprun",
            ),
        ),
        migrations.AlterField(
            model_name="steprun",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="steps",
                to="jobs.run",
            ),
        ),
    ]
