"""`manage.py sync_schedules`."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs.schedule_rows import sync


class Command(BaseCommand):
    """Do what beat does when it starts, and show it."""

    help = (
        "Write the schedules that workflows declare into django-celery-beat's rows, as beat does "
        "when it starts. What the admin paused or changed stays."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        for synced in sync():
            self.stdout.write(f"{synced.workflow}: {synced.change}")
