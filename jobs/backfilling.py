"""Start the runs of slots that have passed without one."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db import transaction
from django_celery_beat.models import PeriodicTask

from jobs.errors import JobsError
from jobs.models import Firing, Run
from jobs.registry import registry
from jobs.schedule_rows import FIRE_TASK, declared_schedule, schedule_of, workflow_of
from jobs.schedules import Schedule
from jobs.scheduling import give_run, insert_firing, slot_key


class NotScheduled(JobsError):
    """The workflow has no schedule, so that there are no slots to fill."""

    def __init__(self, workflow: str) -> None:
        super().__init__(
            f"workflow {workflow!r} has no schedule: declare @workflow(schedule=…), or start its"
            " runs with its .start()"
        )


def schedule_in_force(workflow: str) -> Schedule:
    """Return the schedule by which beat fires a workflow, else the one that its code declares.

    Raises UnknownWorkflow, NotScheduled, and DefinitionError for a row that cannot be read.
    """
    registry.workflow(workflow)
    rows = PeriodicTask.objects.filter(task=FIRE_TASK).select_related("interval", "crontab")
    for row in rows.order_by("pk"):
        if workflow_of(row) == workflow:
            return schedule_of(row)
    declared = declared_schedule(workflow)
    if declared is None:
        raise NotScheduled(workflow)
    return declared


def backfill(workflow: str, slots: Iterable[datetime]) -> Iterator[tuple[datetime, bool]]:
    """Start a run for each slot that has none; yield each slot and whether its run was started.

    Skipped and queued slots get theirs, too. Each in a transaction of its own, side by side
    whatever the schedule's `overlap`. Raises UnknownWorkflow and InvalidInput.
    """
    for slot in slots:
        yield slot, _fill(workflow, slot)


@transaction.atomic
def _fill(workflow: str, slot: datetime) -> bool:
    firing_id = insert_firing(workflow, slot, Firing.Outcome.STARTED)
    if firing_id is None:
        firing = Firing.objects.select_for_update().get(workflow=workflow, slot=slot)
        if firing.outcome == Firing.Outcome.STARTED:
            return False  # whatever became of its run, removed ones included
        firing_id = firing.pk
    runs = Run.objects.filter(workflow=workflow, company=None, idempotency_key=slot_key(slot))
    is_new = not runs.exists()
    give_run(firing_id, workflow, slot)
    return is_new
