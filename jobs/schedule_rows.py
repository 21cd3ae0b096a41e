"""Workflows' schedules as rows of django-celery-beat, where the admin pauses and changes them.

A row is the truth: what it says is fired. The header `declared` remembers what the code last wrote
into it, so that a deploy carries a change of the code over and leaves the admin's alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from jobs.errors import DefinitionError, JobsError
from jobs.registry import registry
from jobs.schedules import Cron, Every, Schedule

log = structlog.get_logger(__name__)

FIRE_TASK = "jobs.fire_schedule"  # its one argument is the workflow's name
DECLARED = "declared"
REMOVED = "removed"
SYNC_LOCK = 0x7363_6865  # "sche"
DESCRIPTION = (
    "From the code, @workflow(schedule=…). Disable it to pause it; another interval or crontab"
    " stays as you set it. A deploy undoes neither."
)
PERIODS = (
    (timedelta(days=1), IntervalSchedule.DAYS),
    (timedelta(hours=1), IntervalSchedule.HOURS),
    (timedelta(minutes=1), IntervalSchedule.MINUTES),
    (timedelta(seconds=1), IntervalSchedule.SECONDS),
)


@dataclass(frozen=True)
class Synced:
    """What `sync` did about one workflow's row, in the past tense."""

    workflow: str
    change: str


def declared_schedule(workflow: str) -> Schedule | None:
    """Return what the code declares for a workflow; None if nothing, or if it is not deployed."""
    known = registry.workflows.get(workflow)
    return known.options_.schedule if known else None


def workflow_of(row: PeriodicTask) -> str:
    """Return the name of the workflow that a row fires; raises DefinitionError."""
    arguments = _parsed(row.args, list)
    if len(arguments) != 1 or not isinstance(arguments[0], str):
        raise DefinitionError(
            f"periodic task {row.name!r}: the arguments of {FIRE_TASK} are one workflow's name, as"
            f' ["cars/update"], not {row.args!r}'
        )
    return arguments[0]


def schedule_of(row: PeriodicTask) -> Schedule:
    """Return a row's schedule, with the overlap and catch-up of the code; raises DefinitionError.

    A row that somebody made by hand for a workflow without a schedule skips overlaps and catches
    up one period.
    """
    declared = declared_schedule(workflow_of(row))
    options: dict[str, Any] = (
        {"overlap": declared.overlap, "catch_up": declared.catch_up} if declared else {}
    )
    if row.interval:
        period = timedelta(**{row.interval.period: row.interval.every})
        return Every(seconds=period.total_seconds(), **options)
    if row.crontab:
        return Cron(_expression(row.crontab), timezone=str(row.crontab.timezone), **options)
    raise DefinitionError(
        f"periodic task {row.name!r}: a workflow is fired by an interval or a crontab; choose one"
    )


def _expression(row: CrontabSchedule) -> str:
    fields = (row.minute, row.hour, row.day_of_month, row.month_of_year, row.day_of_week)
    return " ".join(field.replace(" ", "") for field in fields)


def sync() -> list[Synced]:
    """Make the rows agree with the code where the admin has not decided otherwise.

    Beats call it when they start; several at once wait for each other.
    """
    declared = {
        name: workflow.options_.schedule
        for name, workflow in sorted(registry.workflows.items())
        if workflow.options_.schedule
    }
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", [SYNC_LOCK])
        rows = dict(_own_rows())
        found = [
            Synced(name, _carry_over(rows[name], schedule) if name in rows else _create(name))
            for name, schedule in declared.items()
        ]
        found += [Synced(name, _retire(row)) for name, row in rows.items() if name not in declared]
    for one in found:
        if one.change != "unchanged":
            log.info("schedule_synced", workflow=one.workflow, change=one.change)
    return found


def _own_rows() -> Iterator[tuple[str, PeriodicTask]]:
    """Yield the rows that `sync` made; one that somebody made by hand is never touched."""
    rows = PeriodicTask.objects.filter(task=FIRE_TASK).select_related("interval", "crontab")
    for row in rows.order_by("-pk"):
        if DECLARED in _headers(row):
            try:
                yield workflow_of(row), row
            except DefinitionError as error:
                log.warning("schedule_unreadable", row=row.name, error=str(error))


def _create(workflow: str) -> str:
    schedule = declared_schedule(workflow)
    if schedule is None:  # it was asked for because there is one
        return "unchanged"
    if PeriodicTask.objects.filter(name=workflow).exists():
        return "refused: another periodic task has the workflow's name; rename that"
    row = PeriodicTask(
        name=workflow, task=FIRE_TASK, args=json.dumps([workflow]), description=DESCRIPTION
    )
    _write(row, schedule, {})
    return f"created: {schedule}"


def _carry_over(row: PeriodicTask, schedule: Schedule) -> str:
    headers = _headers(row)
    present, wanted = _present(row), str(schedule)
    is_back = headers.pop(REMOVED, False)
    if is_back:
        row.enabled = True
    if present not in (wanted, headers[DECLARED]):
        if is_back:
            _save(row, headers)
        return f"kept the admin's {present}; the code says {wanted}"
    if present == wanted == headers[DECLARED] and not is_back:
        return "unchanged"
    _write(row, schedule, headers)
    return f"changed: {present} is now {wanted}" if present != wanted else f"enabled: {wanted}"


def _retire(row: PeriodicTask) -> str:
    headers = _headers(row)
    if not row.enabled or REMOVED in headers:
        return "unchanged"  # paused, or enabled by hand since
    row.enabled = False
    _save(row, {**headers, REMOVED: True})
    return "disabled: the code declares no schedule for it any more"


def _present(row: PeriodicTask) -> str:
    try:
        return str(schedule_of(row))
    except JobsError:
        return str(row.scheduler)


def _write(row: PeriodicTask, schedule: Schedule, headers: dict[str, Any]) -> None:
    if isinstance(schedule, Every):
        row.interval, row.crontab = _interval(schedule), None
    elif isinstance(schedule, Cron):
        row.interval, row.crontab = None, _crontab(schedule)
    row.solar = row.clocked = None
    _save(row, {**headers, DECLARED: str(schedule)})


def _save(row: PeriodicTask, headers: dict[str, Any]) -> None:
    row.headers = json.dumps(headers)
    row.save()  # type: ignore[no-untyped-call] # it has no types


def _interval(schedule: Every) -> IntervalSchedule:
    unit, period = next(item for item in PERIODS if not schedule.period % item[0])
    wanted = {"every": schedule.period // unit, "period": period}
    return IntervalSchedule.objects.filter(**wanted).first() or IntervalSchedule.objects.create(
        **wanted
    )


def _crontab(schedule: Cron) -> CrontabSchedule:
    fields = str(schedule.crontab).split()
    names = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
    wanted = {**dict(zip(names, fields, strict=True)), "timezone": schedule.timezone}
    return CrontabSchedule.objects.filter(**wanted).first() or CrontabSchedule.objects.create(
        **wanted
    )


def _headers(row: PeriodicTask) -> dict[str, Any]:
    headers: dict[str, Any] = _parsed(row.headers, dict)
    return headers


def _parsed(text: str | None, kind: type[Any]) -> Any:
    """Return JSON text as a list or dict; what is not one is an empty one."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return kind()
    return found if isinstance(found, kind) else kind()
