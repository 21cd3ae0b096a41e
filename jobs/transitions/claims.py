"""Taking steps, keeping their leases, and finding those whose moment has come."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from jobs.dispatch import WakeUp
from jobs.models import StepRun
from jobs.plan import COMPENSATE, Kind
from jobs.transitions.rows import changed, from_json, prepared, rows


@dataclass(frozen=True)
class Claim:
    """A step taken for one attempt: what execution needs to know, read by the statement that took
    it.

    `spent` are attempts of earlier rounds; `resumed` says that the step had been waiting; `lane` is
    the queue of the message that brought the worker here. `unreadable` says why one of the values
    is missing: jsonb holds what Python's parser refuses, and an event may bring it.
    """

    id: int
    run_id: UUID
    generation: int
    node: str
    step: str
    kind: str
    phase: str
    attempts: int
    spent: int
    fence: int
    resumed: bool
    each: str | None
    value: Any
    output: Any
    queue: str
    definition_id: str
    workflow: str
    company: str | None
    env: str
    run_queue: str
    input: dict[str, Any]
    correlation_id: str | None
    depth: int
    pivoted: bool
    rollback_plan: dict[str, Any] | None
    outputs: dict[str, Any] = field(default_factory=dict)
    lane: str = ""
    unreadable: str | None = None

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1, in the present round."""
        return self.attempts - self.spent

    @property
    def is_compensation(self) -> bool:
        return self.phase == StepRun.Phase.COMPENSATION

    @property
    def is_forward(self) -> bool:
        return self.phase == StepRun.Phase.FORWARD

    @property
    def task(self) -> str:
        return task_of(self.step, self.kind, self.phase)

    def knowing(self, output: str | None) -> "Claim":
        """Return the claim with its own output among those known, for the steps that follow."""
        return replace(self, outputs={**self.outputs, self.node: from_json(output)})


def task_of(step: str, kind: str, phase: str) -> str:
    """Return the Celery task that a step's message is for."""
    if kind != Kind.STEP:
        return f"jobs.{kind}"
    return step + (COMPENSATE if phase == StepRun.Phase.COMPENSATION else "")


_JSON = frozenset({13, 14, 21, 25, 26})  # value, output, input, rollback_plan, outputs


def claim(step_run_id: int, *, worker: str, lease: timedelta) -> tuple[Claim | None, list[WakeUp]]:
    """Take the step for one attempt, or one of a run of higher priority in its place.

    None if it is not due, done, held by another or its run is stopping. The wake-ups are to be
    sent: a step that was passed over, which has no message any more, and the next item of an
    `each`.
    """
    found = prepared(
        "SELECT * FROM jobs_claim(%(id)s, %(worker)s, %(lease)s)",
        {"id": step_run_id, "worker": worker, "lease": lease},
    )
    held, others = None, []
    for row in found:
        if row[0] != "claimed":
            others.append(WakeUp(row[1], row[2], task_of(row[5], row[6], row[7]), row[15], row[18]))
            continue
        held = _claimed(row)
    return held, others


def _claimed(row: Sequence[Any]) -> Claim:
    values, unreadable = list(row), None
    for index in _JSON:
        try:
            values[index] = from_json(row[index])
        except (ValueError, RecursionError) as error:
            values[index], unreadable = None, f"{type(error).__name__}: {error}"
    values[-1] = values[-1] or {}
    return replace(Claim(*values[1:]), lane=row[15], unreadable=unreadable)


def due(*, resend: timedelta, limit: int) -> list[WakeUp]:
    """Return the steps whose moment has come and put each off by the resend interval."""
    found = rows(
        "SELECT * FROM jobs_due(%(resend)s, %(limit)s)", {"resend": resend, "limit": limit}
    )
    return [wake_up(row) for row in found]


def wake_up(row: Sequence[Any]) -> WakeUp:
    """Return the wake-up of `(id, run_id, step, kind, queue, phase, company)`."""
    id_, run_id, step, kind, queue, phase, company = row
    return WakeUp(id_, run_id, task_of(step, kind, phase), queue, company)


def extend_leases(workers: list[str], *, lease: timedelta) -> int:
    """Extend the unexpired leases of these workers' steps; one statement. Return how many.

    A row that an open transaction has written, as that of an atomic step that saved undo data, is
    left out: to wait for it would let the leases of all the others run out.
    """
    return len(
        rows(
            "UPDATE jobs_steprun SET lease_until = clock_timestamp() + %(lease)s,"
            " wake_at = clock_timestamp() + %(lease)s WHERE id IN ("
            "SELECT id FROM jobs_steprun WHERE status = 'running' AND worker = ANY(%(workers)s)"
            " AND lease_until > clock_timestamp() FOR NO KEY UPDATE SKIP LOCKED) RETURNING id",
            {"workers": workers, "lease": lease},
        )
    )


def extend_lease(held: Claim, *, lease: timedelta) -> bool:
    """Extend one step's lease; False if it was lost.

    One that ran out is lost though nobody has taken it: its place under a limit may be another's.
    """
    return changed(
        "UPDATE jobs_steprun SET lease_until = clock_timestamp() + %(lease)s,"
        " wake_at = clock_timestamp() + %(lease)s"
        " WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'"
        " AND lease_until > clock_timestamp() RETURNING id",
        {"id": held.id, "fence": held.fence, "lease": lease},
    )


def is_held(held: Claim) -> bool:
    """Whether nobody else has the step; writes nothing."""
    return bool(
        rows(
            "SELECT 1 FROM jobs_steprun"
            " WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'",
            {"id": held.id, "fence": held.fence},
        )
    )


def save_undo(held: Claim, undo: str) -> bool:
    """Store undo data while the step runs; False if the lease was lost."""
    return changed(
        "UPDATE jobs_steprun SET undo = %(undo)s::jsonb"
        " WHERE id = %(id)s AND fence = %(fence)s AND status = 'running' RETURNING id",
        {"id": held.id, "fence": held.fence, "undo": undo},
    )


def save_progress(held: Claim, *, fraction: float, note: str, lease: timedelta) -> bool:
    """Show how far the step is, and extend its lease; False if that was lost."""
    return changed(
        "UPDATE jobs_steprun SET progress = %(fraction)s, progress_note = %(note)s,"
        " lease_until = clock_timestamp() + %(lease)s, wake_at = clock_timestamp() + %(lease)s"
        " WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'"
        " AND lease_until > clock_timestamp() RETURNING id",
        {"id": held.id, "fence": held.fence, "fraction": fraction, "note": note, "lease": lease},
    )


def save_memo(held: Claim, *, name: str, value: str) -> bool:
    """Keep the value of a sub-step under its name; False if the lease was lost."""
    return changed(
        "INSERT INTO jobs_memo (step_run_id, name, value, created_at)"
        " SELECT id, %(name)s, %(value)s::jsonb, clock_timestamp() FROM jobs_steprun"
        " WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'"
        " ON CONFLICT (step_run_id, name) DO UPDATE SET value = excluded.value RETURNING id",
        {"id": held.id, "fence": held.fence, "name": name, "value": value},
    )


def save_event(held: Claim, *, event_type: str, payload: str, key: str | None) -> bool:
    """Keep an event until the run has succeeded; False if the lease was lost."""
    return changed(
        "INSERT INTO jobs_pendingevent (run_id, step_run_id, fence, event_type, payload, key)"
        " SELECT run_id, id, fence, %(type)s, %(payload)s::jsonb, %(key)s FROM jobs_steprun"
        " WHERE id = %(id)s AND fence = %(fence)s AND status = 'running' RETURNING id",
        {"id": held.id, "fence": held.fence, "type": event_type, "payload": payload, "key": key},
    )
