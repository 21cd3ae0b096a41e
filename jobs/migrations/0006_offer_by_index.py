"""Find the waits that an event may end by their index."""

from importlib.resources import files

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_fewer_indexes")]

    operations = [
        # The function before it does the same, slower: reversing leaves this one.
        migrations.RunSQL(
            files("jobs.sql").joinpath("0006_offer.sql").read_text(), migrations.RunSQL.noop
        ),
    ]
