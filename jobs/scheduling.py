"""Fire the slots of workflows' schedules: each once, however many beats look.

A slot's `Firing` row is inserted in the transaction that starts its run, by whichever beat gets the
lock of the schedule's row first. All times are the database's: beats may have other clocks.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django_celery_beat.models import PeriodicTask
from pydantic import BaseModel

from jobs import services
from jobs.errors import IdempotencyConflict
from jobs.models import Firing
from jobs.registry import registry
from jobs.schedule_rows import FIRE_TASK, schedule_of, workflow_of
from jobs.schedules import Overlap
from jobs.transitions.rows import clock as database_clock

log = structlog.get_logger(__name__)

LONGEST_PAUSE = 5.0  # seconds until a change of a row is seen at the latest
QUEUE_PAUSE = 1.0  # seconds until a queued firing looks again whether its turn has come
RETRY_AFTER = timedelta(seconds=30)
INSTANT = timedelta(microseconds=1)
AT_ONCE = 100  # slots caught up in one transaction
SLOT_FIELD = "scheduled_for"

INSERT = """
INSERT INTO jobs_firing (workflow, slot, outcome, created_at)
VALUES (%s, %s, %s, clock_timestamp()) ON CONFLICT (workflow, slot) DO NOTHING RETURNING id
"""

Clock = Callable[[], datetime]


class Timekeeper:
    """What a beat process does about workflows' schedules: look, fire, say when to look again.

    What it holds saves queries only. A slot later than `_settled` of its row may be owed; one
    before it has been fired by some beat, or fell into a pause.
    """

    def __init__(self, clock: Clock = database_clock) -> None:
        self._clock = clock
        self._settled: dict[int, datetime] = {}
        self._retry_at: dict[int, datetime] = {}

    def turn(self) -> float:
        """Fire what is due; return the seconds until the next look. Two queries if nothing is."""
        now = self._clock()
        queued = set(
            Firing.objects.filter(outcome=Firing.Outcome.QUEUED)
            .values_list("workflow", flat=True)
            .distinct()
        )
        rows = PeriodicTask.objects.filter(task=FIRE_TASK).select_related("interval", "crontab")
        pauses = [self._attend(row, now, queued) for row in rows]
        return max(0.0, min([LONGEST_PAUSE, *pauses]))

    def _attend(self, row: PeriodicTask, now: datetime, queued: set[str]) -> float:
        if not row.enabled:
            self._settled[row.pk] = now  # nothing is owed for a pause
            return LONGEST_PAUSE
        if now < self._retry_at.get(row.pk, now) <= now + RETRY_AFTER:
            return LONGEST_PAUSE
        try:
            return self._fire_due(row, now, queued)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            # One schedule that cannot be fired must not stop the others; the next deploy mends it.
            log.exception("schedule_not_fired", row=row.name, error=str(error))
            self._retry_at[row.pk] = now + RETRY_AFTER
            return LONGEST_PAUSE

    def _fire_due(self, row: PeriodicTask, now: datetime, queued: set[str]) -> float:
        schedule = schedule_of(row)
        since = self._settled.get(row.pk, row.date_changed)
        is_queued = workflow_of(row) in queued
        is_due = bool(schedule.due(since=since, now=now))
        self._settled[row.pk] = (
            fire(row, since=since, clock=self._clock) if is_due or is_queued else now
        )
        if self._settled[row.pk] < now:  # more slots are owed than one transaction takes
            return 0.0
        until_next = (schedule.next_after(now) - now).total_seconds()
        return min(until_next, QUEUE_PAUSE) if is_queued else until_next


def fire(row: PeriodicTask, *, since: datetime, clock: Clock = database_clock) -> datetime:
    """Fire the slots that a row owes after `since`; return up to when none is owed any more.

    One transaction, under the row's lock: a pause that has been committed holds, and two beats do
    not decide about an overlap at the same time. Raises DefinitionError if the row cannot be read.
    """
    with transaction.atomic():
        locked = _lock(row)
        now = clock()
        if locked is None:
            return now
        workflow, schedule = workflow_of(locked), schedule_of(locked)
        start_queued(workflow)
        first = max(since, locked.start_time - INSTANT if locked.start_time else since)
        last = min(now, locked.expires or now)
        slots = schedule.due(since=first, now=last, limit=AT_ONCE)
        fired = [slot for slot in slots if fire_slot(workflow, slot, overlap=schedule.overlap)]
        if fired:
            _count(locked, now, len(fired))
        return slots[-1] if len(slots) == AT_ONCE else now


def _lock(row: PeriodicTask) -> PeriodicTask | None:
    """Lock the row and its like for the same workflow; None if it is disabled or gone by now."""
    rows = PeriodicTask.objects.select_for_update(no_key=True).filter(task=FIRE_TASK, args=row.args)
    locked = {found.pk: found for found in rows.order_by("pk")}.get(row.pk)
    return locked if locked and locked.enabled else None


def _count(row: PeriodicTask, now: datetime, fired: int) -> None:
    """Note what the admin's page of django-celery-beat shows."""
    PeriodicTask.objects.filter(pk=row.pk).update(
        last_run_at=now, total_run_count=F("total_run_count") + fired, enabled=not row.one_off
    )


def fire_slot(workflow: str, slot: datetime, *, overlap: Overlap) -> bool:
    """Start, queue or skip one slot; False if it has been fired before."""
    outcome = Firing.Outcome.STARTED
    if overlap != "allow" and _is_busy(workflow, slot):
        outcome = Firing.Outcome.SKIPPED if overlap == "skip" else Firing.Outcome.QUEUED
    firing_id = insert_firing(workflow, slot, outcome)
    if firing_id is None:
        return False
    if outcome == Firing.Outcome.STARTED:
        give_run(firing_id, workflow, slot)
    _log_after_commit(workflow, slot, outcome)
    return True


def insert_firing(workflow: str, slot: datetime, outcome: Firing.Outcome) -> int | None:
    """Insert the slot's row and return its id; None if there is one.

    Waits for another transaction that is about to insert the same.
    """
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [workflow, slot, outcome])
        inserted = cursor.fetchone()
    return inserted[0] if inserted else None


def start_queued(workflow: str) -> bool:
    """Start the oldest queued firing if the run before it has ended; call under the row's lock."""
    queued = Firing.objects.filter(workflow=workflow, outcome=Firing.Outcome.QUEUED)
    firing = queued.select_for_update().order_by("slot").first()
    if firing is None or _is_running(workflow, before=firing.slot):
        return False
    give_run(firing.pk, workflow, firing.slot)
    _log_after_commit(workflow, firing.slot, Firing.Outcome.STARTED)
    return True


def _is_busy(workflow: str, slot: datetime) -> bool:
    waiting = Firing.objects.filter(workflow=workflow, outcome=Firing.Outcome.QUEUED, slot__lt=slot)
    return waiting.exists() or _is_running(workflow, before=slot)


def _is_running(workflow: str, *, before: datetime) -> bool:
    """Whether the run of the newest slot before this one, of those that have one, is live."""
    former = Firing.objects.filter(workflow=workflow, slot__lt=before, run__isnull=False)
    ends = former.order_by("-slot").values_list("run_id", "run__finished_at").first()
    return ends is not None and ends[1] is None


def give_run(firing_id: int, workflow: str, slot: datetime) -> None:
    """Start the run of a firing; raises UnknownWorkflow and InvalidInput."""
    run_id = _start_slot(workflow, slot)
    Firing.objects.filter(pk=firing_id).update(outcome=Firing.Outcome.STARTED, run_id=run_id)


def slot_key(slot: datetime) -> str:
    """Return the idempotency key of a slot's run, which is also its correlation."""
    return f"schedule:{slot.astimezone(UTC).isoformat()}"


def _start_slot(workflow: str, slot: datetime) -> UUID:
    key = slot_key(slot)
    try:
        run = services.start_workflow(
            workflow,
            slot_input(workflow, slot),
            company=None,
            idempotency_key=key,
            correlation_id=key,
        )
    except IdempotencyConflict as conflict:
        # The model's defaults have changed since: the slot has its run all the same.
        return UUID(str(conflict.run_id))
    return run.pk


def slot_input(workflow: str, slot: datetime) -> dict[str, Any]:
    """Return the input of a slot's run: empty, or the slot where the model has `scheduled_for`."""
    models = [codec.annotation for codec in registry.workflow(workflow).inputs.values()]
    has_field = any(
        isinstance(model, type)
        and issubclass(model, BaseModel)
        and SLOT_FIELD in model.model_fields
        for model in models
    )
    return {SLOT_FIELD: slot.isoformat()} if has_field else {}


def _log_after_commit(workflow: str, slot: datetime, outcome: str) -> None:
    transaction.on_commit(
        partial(
            log.info,
            "schedule_fired",
            workflow=workflow,
            slot=slot.isoformat(),
            outcome=str(outcome),
        )
    )
