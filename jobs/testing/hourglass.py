"""Time that passes for one run and its child runs, when they wait for nothing else.

Due times are the database's clock, which a test cannot turn. So the run's own times are moved into
the past, all by the same span: their order stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F, QuerySet

from jobs.models import Run, StepRun
from jobs.services.sweeping import TURN_AFTER
from jobs.transitions.rows import clock, execute, rows

_TREE = """
    WITH RECURSIVE tree AS (
        SELECT id FROM jobs_run WHERE id = %(run)s
        UNION
        SELECT c.id FROM tree AS t JOIN jobs_steprun AS s ON s.run_id = t.id
                                   JOIN jobs_run AS c ON c.parent_id = s.id
    ) SELECT id FROM tree
"""
# The windows of the rates that its steps are in line for.
_WINDOWS = """
    UPDATE jobs_ratewindow AS w
    SET starts = ARRAY(SELECT t - %(by)s::interval FROM unnest(w.starts) AS t ORDER BY t)
    FROM jobs_steprun AS s
    WHERE s.run_id = ANY(%(runs)s) AND s.status = 'waiting'
      AND s.limit_name = w.name AND s.limit_key = w.key
"""
_LIVE_RUN = (Run.Status.QUEUED, Run.Status.RUNNING, Run.Status.WAITING)
_LIVE_STEP = (StepRun.Status.READY, StepRun.Status.RUNNING, StepRun.Status.WAITING)


@dataclass(frozen=True)
class Timer:
    """The next moment at which the engine looks at a run again; `step` if it is for one of them."""

    at: datetime
    step: StepRun | None = None


def family(run_id: UUID) -> list[UUID]:
    """Return the ids of the run and of all runs below it."""
    return [row[0] for row in rows(_TREE, {"run": run_id})]


def next_timer(runs: Sequence[UUID]) -> Timer | None:
    """Return the earliest timer of these runs; None if nothing will ever wake them."""
    found = [Timer(row.wake_at, row) for row in _timed(runs)[:1] if row.wake_at is not None]
    for run in Run.objects.filter(pk__in=runs):
        if run.turn_at is not None:
            found.append(Timer(run.turn_at + TURN_AFTER))
        if run.deadline_at is not None and run.stop is None and run.status in _LIVE_RUN:
            found.append(Timer(run.deadline_at))
    return min(found, key=lambda timer: timer.at, default=None)


def is_live(runs: Sequence[UUID]) -> bool:
    """Whether anything of these runs is still to come."""
    return (
        Run.objects.filter(pk__in=runs, finished_at=None).exists()
        or _timed(runs).exists()
        or Run.objects.filter(pk__in=runs, turn_at__isnull=False).exists()
    )


def _timed(runs: Sequence[UUID]) -> QuerySet[StepRun]:
    return StepRun.objects.filter(
        run_id__in=runs, status__in=_LIVE_STEP, wake_at__isnull=False
    ).order_by("wake_at", "id")


def pass_until(timer: Timer, runs: Sequence[UUID]) -> None:
    """Let so much time pass for these runs that the timer is due."""
    by = timer.at - clock()
    if by <= timedelta(0):
        return
    execute(_WINDOWS, {"runs": list(runs), "by": by})
    StepRun.objects.filter(run_id__in=runs, status__in=_LIVE_STEP).update(
        due_at=F("due_at") - by, wake_at=F("wake_at") - by, lease_until=F("lease_until") - by
    )
    Run.objects.filter(pk__in=runs, finished_at=None).update(
        deadline_at=F("deadline_at") - by, turn_at=F("turn_at") - by
    )
