"""How a claimed step ends, waits or unfolds, and where its token goes."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.crashpoints import Point, reached
from jobs.dispatch import WakeUp
from jobs.models import Run, StepRun
from jobs.transitions.claims import Claim, task_of, wake_up
from jobs.transitions.rows import from_json, prepared, rows


@dataclass(frozen=True)
class Outcome:
    """How a step ended: `output`, `undo` and `error` as JSON text, None for SQL NULL.

    `dies`: nothing behind it is to run; `cut`: nor behind the groups around it; `stop`: its run is
    to stop, and why. `attempt` is what its attempt's row says, None for no row.
    """

    status: str
    output: str | None = None
    undo: str | None = None
    error: str | None = None
    attempt: str | None = None
    dies: bool = False
    cut: bool = False
    stop: str | None = None
    pivot: bool = False


@dataclass(frozen=True)
class Moved:
    """What an outcome brought about: the step taken at once, the messages to send, and whether the
    run's end is to be worked out (`turned`) or has come (`ended`).
    """

    lost: bool = False
    following: Claim | None = None
    wake_ups: tuple[WakeUp, ...] = ()
    turned: bool = False
    ended: bool = False


_ADVANCE = (
    "SELECT * FROM jobs_advance(%(id)s, %(fence)s, %(status)s, %(output)s::jsonb, %(undo)s::jsonb,"
    " %(error)s::jsonb, %(attempt)s, %(way)s::jsonb, %(dies)s, %(cut)s, %(stop)s, %(pivot)s,"
    " %(known)s, %(result)s::jsonb, %(have)s::text[], %(worker)s, %(lease)s, %(resend)s)"
)


def advance(
    held: Claim,
    outcome: Outcome,
    *,
    way: str,
    result: str | None,
    worker: str | None,
    lease: timedelta,
    resend: timedelta,
    fenced: bool = True,
) -> Moved:
    """Write the outcome and move the token on, in one statement.

    `way` is JSON text (see `jobs/sql/`); `result` the run's output, should the plan end here, None
    if it is not known; `worker` takes what follows at once, None has it sent. Without `fenced` the
    step is one that has not started.
    """
    parameters = {
        **vars(outcome),
        "id": held.id,
        "fence": held.fence if fenced else None,
        "way": way,
        "known": result is not None,
        "result": result,
        "have": list(held.outputs),
        "worker": worker,
        "lease": lease,
        "resend": resend,
    }
    return _moved(held, prepared(_ADVANCE, parameters))


def _moved(held: Claim, found: list[tuple[Any, ...]]) -> Moved:
    if not found:
        return Moved()
    if found[0][0] == "claimed":
        return Moved(following=_following(held, found[0][1:]))
    sent = tuple(
        WakeUp(row[1], held.run_id, task_of(row[3], row[4], held.phase), row[5], held.company)
        for row in found
        if row[0] == "ready"
    )
    verdict = found[0][0]
    return Moved(verdict == "lost", None, sent, verdict == "turn", verdict == "ended")


def _following(held: Claim, row: tuple[Any, ...]) -> Claim:
    id_, node, step, kind, queue, each, attempts, spent, fence, value, outputs = row
    return replace(
        held,
        id=id_,
        node=node,
        step=step,
        kind=kind,
        queue=queue,
        each=each,
        attempts=attempts,
        spent=spent,
        fence=fence,
        resumed=False,
        value=from_json(value),
        output=None,
        outputs={**held.outputs, **(from_json(outputs) or {})},
    )


def postpone(held: Claim, *, outcome: str, error: str, delay: timedelta) -> bool | None:
    """Record a failed attempt and try again after the delay.

    Return whether the run is stopping, None if the lease was lost.
    """
    found = rows(
        "SELECT stopping FROM jobs_postpone(%(id)s, %(fence)s, %(outcome)s, %(error)s::jsonb,"
        " %(delay)s)",
        {"id": held.id, "fence": held.fence, "outcome": outcome, "error": error, "delay": delay},
    )
    return bool(found[0][0]) if found else None


def wait(
    held: Claim,
    *,
    waiting_for: str,
    after: timedelta | None = None,
    until: datetime | None = None,
    limit: tuple[str, str] | None = None,
    refund: bool = False,
    extend: bool = False,
) -> bool:
    """Let the step wait without lease or message, `after` a time or `until` a moment; False if the
    lease was lost.

    `limit` is the name and key of the limit it is in line for; `refund` gives the attempt back;
    `extend` moves the run's deadline by the wait.
    """
    name, key = limit or (None, None)
    found = rows(
        "SELECT jobs_wait(%(id)s, %(fence)s, %(after)s, %(until)s, %(for)s, %(name)s, %(key)s,"
        " %(refund)s, %(extend)s)",
        {
            "id": held.id,
            "fence": held.fence,
            "after": after,
            "until": until,
            "for": waiting_for,
            "name": name,
            "key": key,
            "refund": refund,
            "extend": extend,
        },
    )
    is_waiting = bool(found[0][0])
    if is_waiting:
        reached(Point.PUT_TO_WAIT)
    return is_waiting


def expand(
    held: Claim,
    *,
    items: str | None,
    step: str,
    kind: str,
    queue: str,
    needs: str,
    at_once: int,
    first: int,
    resend: timedelta,
) -> list[WakeUp] | None:
    """Turn an `each` into its items and return the `first` of them to send; None if the lease was
    lost. Claims of items send others, until `at_once` are under way.

    An empty list: nothing is left to do, and the step is still held. `items` is a JSON array, of a
    rollback None: then the items are those to be undone.
    """
    found = rows(
        "SELECT * FROM jobs_expand(%(id)s, %(fence)s, %(items)s::jsonb, %(step)s, %(kind)s,"
        " %(queue)s, %(needs)s::jsonb, %(at_once)s, %(first)s, %(resend)s)",
        {
            "id": held.id,
            "fence": held.fence,
            "items": items,
            "step": step,
            "kind": kind,
            "queue": queue,
            "needs": needs,
            "at_once": at_once,
            "first": first,
            "resend": resend,
        },
    )
    if not found:
        return None
    return [
        WakeUp(row[1], held.run_id, task_of(row[3], row[4], held.phase), row[5], held.company)
        for row in found
        if row[0] == "ready"
    ]


def admit(
    held: Claim,
    *,
    name: str,
    key: str,
    of_run: bool,
    places: int | None,
    starts: int | None,
    per: timedelta | None,
    pause: timedelta,
) -> timedelta | None:
    """Ask for a place under a limit: None if the step has one, else how long to wait."""
    found = rows(
        "SELECT jobs_admit(%(name)s, %(key)s, %(run)s, %(id)s, %(fence)s, %(of_run)s, %(places)s,"
        " %(starts)s, %(per)s, %(pause)s)",
        {
            "name": name,
            "key": key,
            "run": held.run_id,
            "id": held.id,
            "fence": held.fence,
            "of_run": of_run,
            "places": places,
            "starts": starts,
            "per": per,
            "pause": pause,
        },
    )
    delay: timedelta | None = found[0][0]
    return delay


def wake_limited(name: str, key: str, *, resend: timedelta) -> list[WakeUp]:
    """Wake the first in line for a place that was given back."""
    found = rows(
        "SELECT * FROM jobs_wake_limited(%(name)s, %(key)s, %(resend)s)",
        {"name": name, "key": key, "resend": resend},
    )
    return [wake_up(row) for row in found]


SUCCEEDED = StepRun.Status.SUCCEEDED
FAILED = Run.Stop.FAILED
