"""The scheduler that `celery beat` runs."""

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from counterpoint.celery import refuse_to_start


class Scheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, which ends in one line if there is nothing to work with."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_to_start()  # Celery's signal for it comes only after the first look at the database
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call] # it has no types
