"""`manage.py backfill NAME --from … --to …`."""

from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError

from jobs.backfilling import backfill, schedule_in_force
from jobs.errors import JobsError
from jobs.schedules import Cron, Schedule
from jobs.transitions.rows import clock

INSTANT = timedelta(microseconds=1)
DATES = (
    "ISO 8601, such as 2026-11-01 or 2026-11-01T10:00, in the schedule's time zone, or with +HH:MM"
)


class Command(BaseCommand):
    """Start the runs of past slots, one a slot; a second time it starts nothing."""

    help = (
        "Start one run for each slot of a workflow's schedule that has none yet, in a span of time "
        "that has passed. The runs go side by side, whatever the schedule's overlap. A slot whose "
        "run was started before, by beat or by an earlier backfill, is left alone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="the workflow's name")
        parser.add_argument(
            "--from", dest="first", required=True, metavar="MOMENT", help=f"inclusive: {DATES}"
        )
        parser.add_argument(
            "--to", dest="end", required=True, metavar="MOMENT", help="exclusive; at most now"
        )

    def handle(self, *args: Any, name: str, first: str, end: str, **options: Any) -> None:
        try:
            schedule = schedule_in_force(name)
            slots = self._slots(schedule, first, end)
            started = existing = 0
            for slot, is_new in backfill(name, slots):
                started, existing = started + is_new, existing + (not is_new)
                if options["verbosity"] > 1:
                    self.stdout.write(f"{slot.isoformat()} {'started' if is_new else 'existing'}")
        except JobsError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{name} ({schedule}): {started} started, {existing} existing")

    def _slots(self, schedule: Schedule, first: str, end: str) -> list[datetime]:
        start, stop, now = _moment(first, schedule), _moment(end, schedule), clock()
        if start >= stop:
            raise CommandError(f"--to {end} (exclusive) must be later than --from {first}")
        if stop > now:
            self.stderr.write("--to is later than now: the slots to come are left to beat")
        return list(schedule.slots_between(start - INSTANT, min(stop - INSTANT, now)))


def _moment(text: str, schedule: Schedule) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is no moment: it takes {DATES}") from error
    if moment.tzinfo is not None:
        return moment
    zone = ZoneInfo(schedule.timezone) if isinstance(schedule, Cron) else UTC
    return moment.replace(tzinfo=zone)
