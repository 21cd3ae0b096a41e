"""One attempt of one step: call its code, record the outcome."""

import traceback
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from jobs import calling, shutdown
from jobs.admission import admitted, leave, place_of
from jobs.calling import Work
from jobs.connections import left_as_found
from jobs.context import Context
from jobs.counting import counted
from jobs.crashpoints import Point, reached
from jobs.errors import InvalidInput, InvalidOutput, LostLease
from jobs.injection import service_container
from jobs.interrupt import WHATEVER, StepTimeout, time_limit
from jobs.lineage import told_of
from jobs.models import Attempt, StepRun
from jobs.outcomes import PermanentFailure, Retry, Skip
from jobs.services import complete, fail, postpone
from jobs.transitions import claims
from jobs.transitions.claims import Claim
from jobs.transitions.moves import Outcome
from jobs.values import error_json, words

log = structlog.get_logger(__name__)

TRACEBACK_CHARACTERS = 16_000
MAX_DELAY = timedelta(days=366)


class StepFailed(Exception):
    """An attempt failed and its outcome is recorded; raised so that Celery's monitors show it as
    failed. `will_retry`: the step will be tried again.
    """

    def __init__(self, message: str, *, will_retry: bool = False) -> None:
        super().__init__(message)
        self.will_retry = will_retry


def run(held: Claim, worker: str | None) -> Claim | None:
    """Make one attempt of a step; return what `worker` goes on with.

    Raises `StepFailed` after recording a failed attempt, `LostLease`, and `UnknownStep` for a step
    that the deployed code does not have.
    """
    work = calling.work_of(held)
    logger = log.bind(
        run_id=str(held.run_id), workflow=held.workflow, step=held.node, attempt=held.attempt
    )
    if held.attempt > work.options.attempts and not held.pivoted:
        # each was claimed, and the last worker never came back
        message = f"no worker survived the step; {counted(work.options.attempts, 'attempt')}"
        fail(held, error=error_json("WorkerLost", message, held.node))
        raise StepFailed(f"{held.node}: WorkerLost")
    arguments = calling.arguments_of(work, held)
    if isinstance(arguments, InvalidInput):
        return _fail(held, work, arguments)
    try:
        place = place_of(held, work, arguments)
        if not admitted(held, work, arguments):
            return None
    except InvalidInput as error:  # of the limit's key
        return _fail(held, work, error)
    try:
        following = _attempt(held, work, arguments, logger, worker)
    finally:
        leave(work, place)
    return following


def _attempt(
    held: Claim, work: Work, arguments: dict[str, Any], logger: Any, worker: str | None
) -> Claim | None:
    try:
        # An atomic step's writes and its outcome commit together, or not at all.
        with transaction.atomic() if work.options.atomic else nullcontext():
            with left_as_found():
                outcome = _call(held, work, arguments, logger)
            following = complete(held, outcome, worker=None if shutdown.is_near() else worker)
        reached(Point.OUTCOME_COMMITTED)
    except Skip as skip:
        reached(Point.CODE_RAISED)
        error = error_json("Skip", words(skip), held.node)
        skipped = Outcome(StepRun.Status.SKIPPED, error=error, attempt=Attempt.Outcome.SKIPPED)
        return complete(held, skipped, worker=worker)
    except LostLease:
        raise
    except PermanentFailure as failure:
        reached(Point.CODE_RAISED)
        try:
            undo = calling.encode_undo(work, failure.undo)
        except InvalidOutput as invalid:  # raised from here it would leave no outcome at all
            return _fail(held, work, invalid)
        return _fail(held, work, failure, undo=undo)
    except WHATEVER as failure:
        return _failed_attempt(held, work, failure, logger)
    logger.info("step_succeeded")
    return following


def _call(held: Claim, work: Work, arguments: dict[str, Any], logger: Any) -> Outcome:
    # What the step's services do when they are closed is the step's time, too.
    with time_limit(work.options.timeout), service_container() as container:
        context = calling.context_of(work, held, arguments, logger, container)
        with told_of(held):
            returned = work.call(context, arguments)
        reached(Point.CODE_RETURNED)
        output, undo = calling.encode(work, held, returned)
    return Outcome(
        StepRun.Status.SUCCEEDED,
        output=output,
        undo=_write_kept(held, context) if undo is None else undo,
        attempt=Attempt.Outcome.SUCCEEDED,
        pivot=work.options.pivot and held.is_forward,
    )


def _write_kept(held: Claim, context: Context) -> str | None:
    """Write the progress that an atomic step has made, and return its undo data."""
    kept = context._kept
    if kept is None:
        return None
    if kept.progress is not None:
        fraction, note = kept.progress
        lease = settings.JOBS_LEASE
        claims.save_progress(held, fraction=fraction, note=note, lease=lease)
    return kept.undo


def _failed_attempt(held: Claim, work: Work, failure: BaseException, logger: Any) -> Claim | None:
    reached(Point.CODE_RAISED)
    options = work.options
    outcome = Attempt.Outcome.FAILED
    if isinstance(failure, StepTimeout):
        outcome = Attempt.Outcome.TIMEOUT
    for_good = isinstance(failure, (InvalidInput, InvalidOutput, *options.permanent_on))
    if for_good or held.attempt >= options.attempts:
        return _fail(held, work, failure, outcome=outcome)
    delay = options.backoff.delay(held.attempt)
    if isinstance(failure, Retry) and failure.after is not None:
        delay = min(max(failure.after, timedelta(0)), MAX_DELAY)
    postpone(held, error=_describe(failure, held.node), delay=delay, outcome=outcome)
    logger.info("step_postponed", error=words(failure), delay_seconds=delay.total_seconds())
    message = f"{held.node}: {type(failure).__name__}: {words(failure)}"
    raise StepFailed(message, will_retry=True) from None


def _fail(
    held: Claim,
    work: Work,
    failure: BaseException,
    *,
    undo: str | None = None,
    outcome: str = Attempt.Outcome.FAILED,
) -> Claim | None:
    fail(held, error=_describe(failure, held.node), undo=undo, outcome=outcome)
    raise StepFailed(f"{held.node}: {type(failure).__name__}: {words(failure)}") from None


def _describe(failure: BaseException, node: str) -> str:
    trace = "".join(traceback.format_exception(failure))[-TRACEBACK_CHARACTERS:]
    return error_json(type(failure).__name__, words(failure), node, traceback=trace)
