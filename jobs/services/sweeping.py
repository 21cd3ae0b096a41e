"""What no message came for: due timers, lost wake-ups, runs that hang between two steps."""

from datetime import timedelta
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, transaction

from jobs.crashpoints import Point, reached
from jobs.models import Run, StepRun
from jobs.plan import Kind
from jobs.services.sending import send_after_commit
from jobs.services.turning import try_turn, turn_soon
from jobs.transitions import claims, moves, runs, waits
from jobs.transitions.claims import Claim
from jobs.transitions.moves import Outcome
from jobs.values import error_json
from jobs.ways import way_of

log = structlog.get_logger(__name__)

TURN_AFTER = timedelta(seconds=2)  # by then who brought the last token home would be done


def sweep(*, limit: int = 1000, is_thorough: bool = True) -> int:
    """Send the wake-ups whose moment has come; if thorough, end what must not start, too, and stop
    what is out of time. Return how many rows moved.

    Called by the relay several times a second, thorough once: a few index scans when there is
    nothing to do. Leases and due times are the database's clock.
    """
    with transaction.atomic():
        wake_ups = claims.due(resend=settings.JOBS_RESEND_AFTER, limit=limit)
        send_after_commit(wake_ups)
        reached(Point.DUE_WRITTEN)
    reached(Point.DUE_COMMITTED)
    return len(wake_ups) + (_end_and_stop(limit=limit) if is_thorough else 0)


def _end_and_stop(*, limit: int) -> int:
    overdue = runs.stop_overdue(error=_OVERDUE, limit=limit)
    for run_id in overdue:
        log.warning("run_timed_out", run_id=str(run_id))
    reached(Point.OVERDUE_STOPPED)
    turned = [try_turn(run_id) for run_id in runs.turning(older_than=TURN_AFTER, limit=limit)]
    return len(overdue) + sum(turned) + give_up_unstarted(limit=limit)


_OVERDUE = error_json("RunTimeout", "the run took longer than its workflow's timeout", None)


def give_up_unstarted(run_id: UUID | None = None, *, limit: int = 1000) -> int:
    """End the steps that must not start any more, of one stopping run or of all, and tell their
    child runs to stop; return how many.

    One transaction a step: several at once could wait for each other's joins.
    """
    for child in runs.live_children_of_stopping(run_id=run_id, limit=limit):
        error = error_json("Cancelled", "the run that started it stops", None)
        if runs.stop(child, why=Run.Stop.CANCELLED, error=error):
            reached(Point.CHILD_STOPPED)
            give_up_unstarted(child)
    found = runs.unstarted_of_stopping(run_id=run_id, limit=limit)
    return sum(_try_to_give_up(step_run_id) for step_run_id in found)


def _try_to_give_up(step_run_id: int) -> bool:
    """Give the step up; what goes wrong is logged, so that it holds up no other."""
    try:
        return _give_up(step_run_id)
    except (DatabaseError, InterfaceError):  # it is away: the sweep comes again
        raise
    except Exception:
        log.exception("step_not_given_up", step_run_id=step_run_id)
        return False


def _give_up(step_run_id: int) -> bool:
    with transaction.atomic():
        held = _unstarted(step_run_id)
        if held is None:
            return False
        moved = moves.advance(
            held,
            Outcome(StepRun.Status.STOPPED, dies=True),
            way=way_of(held),
            result=None,
            worker=None,
            lease=settings.JOBS_LEASE,
            resend=settings.JOBS_RESEND_AFTER,
            fenced=False,
        )
        if moved.turned:
            turn_soon(held.run_id)
        if held.kind == Kind.WAIT:
            waits.forget(held.id)
        reached(Point.GIVE_UP_WRITTEN)
    reached(Point.GIVEN_UP)
    return not moved.lost


def _unstarted(step_run_id: int) -> Claim | None:
    """Return the step as if it were claimed: what its token's way needs to know.

    It is locked: a worker that claimed it just before its run was told to stop may start its child.
    """
    steps = (
        StepRun.objects.select_for_update(of=("self",), no_key=True)
        .select_related("run")
        # Python cannot read all that events bring.
        .defer("value", "output", "undo", "error", "run__output", "run__error")
    )
    step = steps.filter(pk=step_run_id).first()
    if step is None or Run.objects.filter(parent_id=step.pk).exists():
        return None
    run = step.run
    return Claim(
        id=step.pk,
        run_id=run.pk,
        generation=step.generation,
        node=step.node,
        step=step.step,
        kind=step.kind,
        phase=step.phase,
        attempts=step.attempts,
        spent=step.spent,
        fence=step.fence,
        resumed=False,
        each=step.each,
        value=None,
        output=None,
        queue=step.queue,
        definition_id=run.definition_id,
        workflow=run.workflow,
        company=run.company,
        env=run.env,
        run_queue=run.queue,
        input=run.input,
        correlation_id=run.correlation_id,
        depth=run.depth,
        pivoted=run.pivoted,
        rollback_plan=run.rollback_plan,
        lane=step.queue,
    )
