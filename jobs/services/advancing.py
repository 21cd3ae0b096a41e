"""A claimed step has ended, failed or must wait: record it and move its token on."""

from dataclasses import replace
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction

from jobs.connections import persistently
from jobs.crashpoints import Point, reached
from jobs.errors import InvalidInput, InvalidOutput, LostLease
from jobs.models import Attempt, Run, StepRun
from jobs.outputs import result_text
from jobs.plan import Kind
from jobs.registry import registry
from jobs.retry import Backoff
from jobs.services.sending import send_after_commit
from jobs.services.sweeping import give_up_unstarted
from jobs.services.turning import run_ended, turn_soon
from jobs.transitions import moves
from jobs.transitions.claims import Claim
from jobs.transitions.moves import Moved, Outcome
from jobs.ways import may_end, way_of

log = structlog.get_logger(__name__)


@persistently
def complete(
    held: Claim, outcome: Outcome, *, worker: str | None = None, skip: bool = False
) -> Claim | None:
    """Record how a step ended and make ready what follows.

    `worker` takes a single step that follows on the same queue at once, and it is returned; without
    it all are sent. `skip` jumps over what a `when` guards. Raises `LostLease`.
    """
    known = held.knowing(outcome.output) if held.each is None else held
    moved = moves.advance(
        known,
        outcome,
        way=way_of(held, skip=skip),
        result=_result(known, outcome),
        worker=worker,
        lease=settings.JOBS_LEASE,
        resend=settings.JOBS_RESEND_AFTER,
    )
    if moved.lost:
        raise LostLease(held.node)
    reached(Point.OUTCOME_WRITTEN)
    following = settle(held, moved)
    return replace(following, pivoted=True) if following and outcome.pivot else following


def settle(held: Claim, moved: Moved) -> Claim | None:
    """Do what a move asks for: send messages, work out the run's end."""
    send_after_commit(moved.wake_ups)
    if moved.turned:
        turn_soon(held.run_id)
    if moved.ended:
        log.info("run_succeeded", run_id=str(held.run_id), workflow=held.workflow)
        run_ended(held.run_id, held.workflow)
    return moved.following


def _result(held: Claim, outcome: Outcome) -> str | None:
    """Return the run's output, should it end here; None where another must work it out."""
    if outcome.status != StepRun.Status.SUCCEEDED or not may_end(held):
        return None
    try:
        return result_text(held.definition_id, held.workflow, held.input, held.outputs)
    except (KeyError, InvalidInput, InvalidOutput):
        return None  # of others too, or it does not fit: the run's turn says so


@persistently
def postpone(held: Claim, *, error: str, delay: timedelta, outcome: str = "failed") -> None:
    """Record a failed attempt; the step is ready again after the delay. Raises `LostLease`."""
    stopping = moves.postpone(held, outcome=outcome, error=error, delay=delay)
    if stopping is None:
        raise LostLease(held.node)
    reached(Point.POSTPONED)
    if stopping:  # such a run does not wait for the backoff
        give_up_unstarted(held.run_id)


@persistently
def fail(
    held: Claim,
    *,
    error: str,
    undo: str | None = None,
    outcome: str = Attempt.Outcome.FAILED,
    worker: str | None = None,
) -> Claim | None:
    """Record that a step failed for good, and what its `on_failure` says of the run.

    By default the run stops, and turns once nothing is live. A compensation that failed is
    recorded, and the unwinding of the others goes on. Past the run's point of no return the step is
    tried again, until the run's time is over. Raises `LostLease`.
    """
    policy = _policy(held)
    if policy == "rollback" and held.is_forward and _goes_forward(held):
        postpone(held, error=error, delay=_longest_backoff(held), outcome=outcome)
        return None
    ended = Outcome(
        StepRun.Status.FAILED,
        undo=undo,
        error=error,
        attempt=outcome,
        dies=held.is_forward and policy != "continue",
        cut=held.is_forward and policy == "skip_rest",
        stop=Run.Stop.FAILED if held.is_forward and policy == "rollback" else None,
    )
    with transaction.atomic():
        following = complete(held, ended, worker=worker)
    reached(Point.FAILURE_COMMITTED)
    if ended.stop:
        give_up_unstarted(held.run_id)
    return following


def _goes_forward(held: Claim) -> bool:
    """Whether the run's point of no return is behind it, also since the step was claimed, and its
    time is not over.
    """
    return Run.objects.filter(pk=held.run_id, pivoted=True, stop=None).exists()


def _policy(held: Claim) -> str:
    known = registry.steps.get(held.step) if held.kind == Kind.STEP else None
    return known.options_.on_failure if known else "rollback"


def _longest_backoff(held: Claim) -> timedelta:
    known = registry.steps.get(held.step) if held.kind == Kind.STEP else None
    return known.options_.backoff.maximum if known else Backoff().maximum


def wait_for_code(held: Claim, *, reason: str) -> None:
    """Let a step whose code is not deployed wait for it: a bad deploy can be undone."""
    log.error("run_waits_for_code", run_id=str(held.run_id), step=held.node, reason=reason)
    after = settings.JOBS_RESEND_AFTER
    if not moves.wait(held, after=after, waiting_for=Run.WaitingFor.CODE, refund=True):
        raise LostLease(held.node)
