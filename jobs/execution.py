"""A worker with a message in hand: claim its step, run it, and go on in place while that is
allowed.
"""

import time
from collections.abc import Callable

import structlog
from django.conf import settings

from jobs import attempts, dispatch, nodes, shutdown
from jobs.attempts import StepFailed
from jobs.connections import reconnecting, renewed_after_errors
from jobs.crashpoints import Point, reached
from jobs.errors import (
    InvalidInput,
    InvalidOutput,
    LostLease,
    UnknownFunction,
    UnknownStep,
    UnknownWorkflow,
)
from jobs.monitoring import InPlaceStep
from jobs.plan import Kind
from jobs.services import fail, wait_for_code
from jobs.transitions import claims
from jobs.transitions.claims import Claim
from jobs.values import error_json

__all__ = ["StepFailed", "perform"]

log = structlog.get_logger(__name__)

Perform = Callable[[Claim, str | None], Claim | None]

KINDS: dict[str, Perform] = {
    Kind.STEP: attempts.run,
    Kind.TASK: attempts.run,
    Kind.TRANSFORM: nodes.transform,
    Kind.WHEN: nodes.when,
    Kind.SLEEP: nodes.sleep,
    Kind.WAIT: nodes.wait,
    Kind.CHILD: nodes.child,
    Kind.EACH: nodes.each,
    Kind.ADMISSION: nodes.admission,
}


WORK = (Kind.STEP, Kind.TASK)
TRIES = 10  # of the engine's own nodes, which a dying machine may interrupt; code has its own


@renewed_after_errors()
def perform(
    step_run_id: int, *, worker: str, hostname: str = "local", task_id: str | None = None
) -> str:
    """Run the step's next attempt if it is due and free, and, while the message's time lasts, the
    single steps that follow it on the same queue; return how the first one ended, or `not due`.

    `hostname` and `task_id` are the worker's and the message's, for whoever shows the steps that
    run in place. Raises `StepFailed` after recording a failed attempt of the first. A late or
    doubled message ends as `not due`.
    """
    reached(Point.RECEIVED)
    held, others = reconnecting(
        lambda: claims.claim(step_run_id, worker=worker, lease=settings.JOBS_LEASE)
    )
    reached(Point.CLAIMED)
    dispatch.send(others)
    if held is None:
        return "not due"
    until = time.monotonic() + settings.JOBS_IN_PLACE.total_seconds()
    try:
        following = _perform(held, worker if settings.JOBS_IN_PLACE else None)
    except LostLease as error:
        log.warning("lease_lost", run_id=str(held.run_id), step=str(error))
        return "lease lost"
    while following is not None:
        shown = _shown(following, hostname, task_id)
        try:
            may_go_on = time.monotonic() < until and not shutdown.is_near()
            following = _perform(following, worker if may_go_on else None)
        except StepFailed as failure:
            (shown.retried if failure.will_retry else shown.failed)(failure)
            break  # its outcome is recorded; the message was for another step
        except LostLease as error:
            shown.failed(error)
            log.warning("lease_lost", run_id=str(held.run_id), step=str(error))
            break
        shown.succeeded("done")
    return "done"


def _shown(held: Claim, hostname: str, task_id: str | None) -> InPlaceStep:
    shown = InPlaceStep(
        task=held.task,
        run_id=held.run_id,
        step_run_id=held.id,
        hostname=hostname,
        parent_id=task_id,
        attempt=held.attempt,
    )
    shown.started()
    return shown


def _perform(held: Claim, worker: str | None) -> Claim | None:
    if held.kind not in WORK and held.attempt > TRIES and not held.pivoted:
        message = f"no worker survived it; {TRIES} tries"
        return fail(held, error=error_json("WorkerLost", message, held.node))
    if held.unreadable is not None:
        return fail(held, error=error_json("InvalidInput", held.unreadable, held.node))
    try:
        return KINDS[held.kind](held, worker)
    except (UnknownStep, UnknownFunction, UnknownWorkflow) as error:
        wait_for_code(held, reason=str(error))
    except (InvalidInput, InvalidOutput) as error:  # of the engine's own nodes
        return fail(held, error=error_json(type(error).__name__, str(error), held.node))
    return None
