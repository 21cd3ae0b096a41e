"""The scheduler that `celery beat` runs: any number of beats, each firing once.

Workflows' schedules are `jobs.scheduling`'s: this process gives it turns. Plain Celery tasks are
sent as django-celery-beat does, but under the lock of their row, so that one beat sends each.
"""

import time
from typing import Any

import structlog
from celery.schedules import schedstate
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import QuerySet
from django_celery_beat.models import PeriodicTask
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from counterpoint.celery import refuse_to_start
from counterpoint.monitoring import heartbeats
from jobs.schedule_rows import FIRE_TASK, sync
from jobs.scheduling import Timekeeper

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 5.0  # seconds between looks at a database, or a broker, that is away


class PlainEntry(ModelEntry):
    """A plain task; `retry_at` (of the monotonic clock) puts off one that could not be sent."""

    retry_at = 0.0

    def is_due(self) -> schedstate:
        wait = self.retry_at - time.monotonic()
        if wait > 0:
            return schedstate(False, wait)
        due: schedstate = super().is_due()  # type: ignore[no-untyped-call] # it has no types
        return due


class Scheduler(DatabaseScheduler):
    """django-celery-beat's scheduler for many beats; an outage of the database makes it wait.

    It ends in one line if there is nothing to work with when it starts.
    """

    Entry: Any = PlainEntry
    _schedule: Any = None  # the entries by name

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse_to_start()  # Celery's signal for it comes only after the first look at the database
        self._timekeeper = Timekeeper()
        self._turn_at = self._send_at = 0.0  # of the monotonic clock, which no one can set
        self._failures = 0
        self._pulse = heartbeats.Pulse(heartbeats.BEAT)
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call] # it has no types

    def setup_schedule(self) -> None:
        """Carry the code's schedules into the rows.

        Not after `migrate`: only beat acts on them, and it has the same code as the rows then.
        """
        sync()
        super().setup_schedule()  # type: ignore[no-untyped-call] # as above

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Fire what is due and return the seconds until the next look."""
        try:
            pause = self._tick(*args, **kwargs)
            self._pulse.beat()
        except (OperationalError, InterfaceError) as error:
            self._failures += 1
            pause = min(0.1 * 2 ** min(self._failures, 10), LONGEST_PAUSE)
            log.warning("beat_waits", error=str(error).strip(), seconds=round(pause, 2))
            connection.close()
        else:
            self._failures = 0
        return pause

    def _tick(self, *args: Any, **kwargs: Any) -> float:
        if time.monotonic() >= self._turn_at:
            began = time.monotonic()
            self._turn_at = began + self._timekeeper.turn()
        if time.monotonic() >= self._send_at:
            self._send_at = time.monotonic() + self._send_due(*args, **kwargs)
        return max(0.0, min(self._turn_at, self._send_at) - time.monotonic())

    def _send_due(self, *args: Any, **kwargs: Any) -> float:
        self._heap_invalidated = True  # made anew: its times are of a clock that may have been set
        pause: float = super().tick(*args, **kwargs)
        return pause

    def enabled_models_qs(self) -> QuerySet[PeriodicTask]:
        """Return the rows of plain tasks, those missed some hours ago included."""
        return PeriodicTask.objects.filter(enabled=True).exclude(task=FIRE_TASK)

    def reserve(self, entry: Any) -> Any:
        """Leave the entry as it is: the row says when it was sent last."""
        return entry

    def sync(self) -> None:
        """Do nothing: no row is written later than it is sent.

        It would hang up in the middle of a transaction, where a signal or a firing calls it.
        """

    def apply_async(
        self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any
    ) -> Any:
        """Send the task if it is still due by its row, and note that in the transaction.

        A beat that dies in between leaves it due. Raises SchedulingError if it cannot be sent; then
        it is tried again.
        """
        entry.retry_at = time.monotonic() + LONGEST_PAUSE
        with transaction.atomic():
            row = _locked(entry)
            sent = row and self._send_if_due(row, producer)
        self._schedule.pop(entry.name, None)
        if row is not None:
            self._schedule[entry.name] = self.Entry(row, app=self.app)
        return sent

    def _send_if_due(self, row: PeriodicTask, producer: Any) -> Any:
        present = self.Entry(row, app=self.app)
        if not present.is_due().is_due:
            return None  # another beat has sent it
        sent = super().apply_async(present, producer=producer, advance=False)
        row.last_run_at = present._default_now()
        row.total_run_count += 1
        PeriodicTask.objects.filter(pk=row.pk).update(
            last_run_at=row.last_run_at, total_run_count=row.total_run_count
        )
        return sent


def _locked(entry: PlainEntry) -> PeriodicTask | None:
    rows = PeriodicTask.objects.select_for_update(no_key=True)
    return rows.filter(pk=entry.model.pk, enabled=True).first()
