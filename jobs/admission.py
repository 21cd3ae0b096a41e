"""Places under the limits of steps: asked for before the code runs, given back after it."""

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from jobs import dispatch
from jobs.calling import Work
from jobs.crashpoints import Point, reached
from jobs.errors import InvalidInput, LostLease
from jobs.interrupt import WHATEVER, time_limit
from jobs.limits import Limit, Rate, key_of
from jobs.models import Run
from jobs.options import StepOptions
from jobs.transitions import moves
from jobs.transitions.claims import Claim
from jobs.values import words

log = structlog.get_logger(__name__)

KEY_TIMEOUT = StepOptions.timeout  # of key functions, which have no options
PAUSE = timedelta(seconds=5)  # between looks of one that nobody wakes


def place_of(held: Claim, work: Work, arguments: dict[str, Any]) -> str | None:
    """Return the key of the place that the step's limit gives it, None without such a limit.

    Asked before the code runs, which may change its arguments. A key function that fails raises
    `InvalidInput`.
    """
    limit = work.options.concurrency
    if limit is None or work.step is None or held.is_compensation:
        return None
    return _key(f"step {work.name}", limit, work.step.with_defaults(arguments))


def admitted(held: Claim, work: Work, arguments: dict[str, Any]) -> bool:
    """Ask for the places that a step's limits want; without them it waits, no attempt used."""
    if held.is_compensation:
        return True
    options = work.options
    given = arguments if work.step is None else work.step.with_defaults(arguments)
    return ask(held, f"step {work.name}", options.concurrency, options.rate, given)


def ask(
    held: Claim,
    name: str,
    concurrency: Limit | None,
    rate: Rate | None,
    arguments: dict[str, Any],
    *,
    of_run: bool = False,
) -> bool:
    """Ask for a place under a limit and for a start under a rate; False if the step waits now.

    A key function that fails raises `InvalidInput`.
    """
    for limit in _apart(concurrency, rate):
        key = _key(name, limit, arguments)
        wait = moves.admit(
            held,
            name=_name(name, limit),
            key=key,
            of_run=of_run,
            places=limit.n if isinstance(limit, Limit) else None,
            starts=limit.n if isinstance(limit, Rate) else None,
            per=limit.per if isinstance(limit, Rate) else None,
            pause=min(PAUSE, settings.JOBS_RESEND_AFTER),
        )
        if wait is not None:
            _line_up(held, _name(name, limit), key, wait)
            reached(Point.LINED_UP)
            return False
        reached(Point.ADMITTED)
    return True


def _key(name: str, limit: Limit | Rate, arguments: dict[str, Any]) -> str:
    try:
        with time_limit(KEY_TIMEOUT):
            return key_of(limit, arguments)
    except WHATEVER as error:  # the author's function
        what = f"{type(error).__name__}: {words(error)}"
        message = f"the key function of its limit failed: {what}"
        raise InvalidInput(name, [{"loc": (), "msg": message, "type": "limit"}]) from error


def _apart(concurrency: Limit | None, rate: Rate | None) -> list[Limit | Rate]:
    # The place first: it is given back if there is none of the other, a start is not.
    return [limit for limit in (concurrency, rate) if limit is not None]


def _name(name: str, limit: Limit | Rate) -> str:
    return name if isinstance(limit, Limit) else f"{name} rate"


def _line_up(held: Claim, name: str, key: str, wait: timedelta) -> None:
    waiting_for = Run.WaitingFor.LIMIT
    if not moves.wait(held, after=wait, waiting_for=waiting_for, limit=(name, key), refund=True):
        raise LostLease(held.node)


def leave(work: Work, key: str | None) -> None:
    """Give the step's place to the next in line, who looks again by itself should that fail: the
    step's outcome is recorded.
    """
    if key is None:
        return
    try:
        resend = settings.JOBS_RESEND_AFTER
        wake_ups = moves.wake_limited(f"step {work.name}", key, resend=resend)
    except (DatabaseError, InterfaceError) as error:
        log.warning("place_not_passed_on", step=work.name, key=key, error=str(error))
        return
    reached(Point.PLACE_PASSED_ON)
    dispatch.send(wake_ups)
