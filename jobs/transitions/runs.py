"""How a run starts, is told to stop, turns and ends."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from jobs.dispatch import WakeUp
from jobs.models import Run, StepRun
from jobs.transitions.claims import task_of, wake_up
from jobs.transitions.rows import changed, execute, prepared, rows, to_text

_START = (
    "SELECT * FROM jobs_start(%(id)s, %(workflow)s, %(definition)s, %(company)s, %(env)s,"
    " %(queue)s, %(input)s::jsonb, %(key)s, %(correlation)s, %(depth)s, %(priority)s,"
    " %(singleton)s, %(debounce)s, %(parent)s, %(timeout)s, %(retention)s, %(hold)s,"
    " %(entry)s::jsonb, %(resend)s)"
)


def insert_run(
    run: Run, *, entry: str, hold: timedelta, timeout: timedelta, resend: timedelta
) -> list[WakeUp] | str:
    """Insert a run with its first steps and return what to send.

    `hold` keeps the first steps for that long. Nothing was inserted where the answer is
    `"definition"` (to be pinned first) or `"conflict"` (its idempotency, singleton or debounce key
    is taken).
    """
    parameters = {
        "id": run.pk,
        "workflow": run.workflow,
        "definition": run.definition_id,
        "company": run.company,
        "env": run.env,
        "queue": run.queue,
        "input": to_text(run.input),
        "key": run.idempotency_key,
        "correlation": run.correlation_id,
        "depth": run.depth,
        "priority": run.priority,
        "singleton": run.singleton_key,
        "debounce": run.debounce_key,
        "parent": run.parent_id,
        "timeout": timeout,
        "retention": run.retention,
        "hold": hold,
        "entry": entry,
        "resend": resend,
    }
    found = prepared(_START, parameters)
    if found and found[0][0] in ("definition", "conflict"):
        return str(found[0][0])
    return [
        WakeUp(id_, run.pk, task_of(step, kind, StepRun.Phase.FORWARD), queue, run.company)
        for verdict, id_, step, kind, queue in found
        if verdict == "ready"
    ]


def debounce(run: Run, *, hold: timedelta, timeout: timedelta) -> UUID | None:
    """Give a debounced run that has not begun the newest input and put it off; its id, or None."""
    found = rows(
        "SELECT id FROM jobs_debounce(%(workflow)s, %(company)s, %(key)s, %(input)s::jsonb,"
        " %(hold)s, %(timeout)s)",
        {
            "workflow": run.workflow,
            "company": run.company,
            "key": run.debounce_key,
            "input": to_text(run.input),
            "hold": hold,
            "timeout": timeout,
        },
    )
    return found[0][0] if found else None


def enter(
    run: Run, *, phase: str, entry: str, resend: timedelta, wait: timedelta = timedelta(0)
) -> list[WakeUp]:
    """Make an entry's steps and joins ready and return what to send."""
    found = rows(
        "SELECT id, step, kind, queue FROM jobs_enter(%(run)s, %(generation)s, %(phase)s,"
        " %(entry)s::jsonb, %(priority)s, clock_timestamp(), clock_timestamp() + %(resend)s)",
        {
            "run": run.pk,
            "generation": run.generation,
            "phase": phase,
            "entry": entry,
            "priority": run.priority,
            "resend": resend,
        },
    )
    return [
        WakeUp(id_, run.pk, task_of(step, kind, phase), queue, run.company)
        for id_, step, kind, queue in found
    ]


def stop(run_id: UUID, *, why: str, error: str | None) -> bool:
    """Tell a live run to start no further step; False if it was told before, has ended, or is
    past its point of no return and to be cancelled.

    It lets go of its debounce key: later starts are not to join it.
    """
    return changed(
        "UPDATE jobs_run SET stop = %(why)s, error = coalesce(error, %(error)s::jsonb),"
        " debounce_key = NULL"
        " WHERE id = %(run)s AND stop IS NULL AND status IN ('queued', 'running', 'waiting')"
        " AND NOT (pivoted AND %(why)s = 'cancelled')"
        " RETURNING id",
        {"run": run_id, "why": why, "error": error},
    )


def stop_overdue(*, error: str, limit: int) -> list[UUID]:
    """Tell the runs whose time-out has passed to stop; return their ids."""
    return [
        row[0]
        for row in rows(
            "UPDATE jobs_run SET stop = 'failed', error = coalesce(error, %(error)s::jsonb),"
            " debounce_key = NULL"
            " WHERE id IN (SELECT id FROM jobs_run WHERE deadline_at <= statement_timestamp()"
            " AND stop IS NULL AND status IN ('queued', 'running', 'waiting')"
            " ORDER BY deadline_at LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED) RETURNING id",
            {"error": error, "limit": limit},
        )
    ]


def take_turn(run_id: UUID) -> bool:
    """Take the working out of a run's end upon oneself, for this transaction; False if it is done
    or another's.
    """
    return changed(
        "UPDATE jobs_run SET turn_at = NULL WHERE id = %(run)s AND turn_at IS NOT NULL"
        " RETURNING id",
        {"run": run_id},
    )


def turning(*, older_than: timedelta, limit: int) -> list[UUID]:
    """Return the runs whose end nobody worked out, because who should have is gone."""
    return [
        row[0]
        for row in rows(
            "SELECT id FROM jobs_run WHERE turn_at <= statement_timestamp() - %(age)s::interval"
            " ORDER BY turn_at LIMIT %(limit)s",
            {"age": older_than, "limit": limit},
        )
    ]


def put_off_turn(run_id: UUID, *, by: timedelta) -> None:
    """Look again later at a run whose end could not be worked out."""
    execute(
        "UPDATE jobs_run SET turn_at = clock_timestamp() + %(by)s::interval"
        " WHERE id = %(run)s AND turn_at IS NOT NULL",
        {"run": run_id, "by": by},
    )


def finish_forward(run_id: UUID, *, output: str | None) -> bool:
    """End the run well, unless it was told to stop meanwhile: then False, and the rollback is the
    caller's.
    """
    return changed(
        "UPDATE jobs_run SET status = 'succeeded', output = %(output)s::jsonb, waiting_for = NULL,"
        " finished_at = clock_timestamp(), expires_at = clock_timestamp() + retention"
        " WHERE id = %(run)s AND stop IS NULL AND status IN ('queued', 'running', 'waiting')"
        " RETURNING id",
        {"run": run_id, "output": output},
    )


def begin_rollback(run_id: UUID, *, plan: Mapping[str, Any]) -> bool:
    """Turn a stopped run with nothing live around; False if that was done before."""
    return changed(
        "UPDATE jobs_run SET status = 'compensating', rollback_plan = %(plan)s::jsonb,"
        " waiting_for = NULL WHERE id = %(run)s AND stop IS NOT NULL"
        " AND status IN ('queued', 'running', 'waiting') RETURNING id",
        {"run": run_id, "plan": to_text(plan)},
    )


def finish_stopped(run_id: UUID, *, rollback: str) -> bool:
    """End a stopped run as `failed` or `cancelled` with the rollback's result."""
    return changed(
        "UPDATE jobs_run SET status = stop, rollback = %(rollback)s, waiting_for = NULL,"
        " finished_at = clock_timestamp(), expires_at = clock_timestamp() + retention"
        " WHERE id = %(run)s AND stop IS NOT NULL AND finished_at IS NULL RETURNING id",
        {"run": run_id, "rollback": rollback},
    )


def reopen(run_id: UUID, *, wanted: tuple[str, ...], status: str, stop: str | None) -> bool:
    """Make an ended run live again in one of the `wanted` states, to be undone; False if it is in
    none of them.

    It lets go of its singleton key, which another run may hold by now.
    """
    return changed(
        "UPDATE jobs_run SET status = %(status)s, stop = %(stop)s, rollback = 'not_needed',"
        " output = NULL, finished_at = NULL, expires_at = NULL, singleton_key = NULL"
        " WHERE id = %(run)s AND status = ANY(%(wanted)s) RETURNING id",
        {"run": run_id, "wanted": list(wanted), "status": status, "stop": stop},
    )


def wake_parent(parent_id: int, *, resend: timedelta) -> list[WakeUp]:
    """Tell the step that waits for a child run, forward or in its rollback, that it has ended."""
    found = rows(
        "UPDATE jobs_steprun AS s SET due_at = clock_timestamp(), wake_at = clock_timestamp() +"
        " %(resend)s FROM jobs_steprun AS p, jobs_run AS r"
        " WHERE p.id = %(parent)s AND s.run_id = p.run_id AND s.generation = p.generation"
        " AND s.node IN (p.node, p.node || '.compensate') AND s.status = 'waiting'"
        " AND r.id = s.run_id"
        " RETURNING s.id, s.run_id, s.step::text, s.kind::text, s.queue::text, s.phase::text,"
        " r.company::text",
        {"parent": parent_id, "resend": resend},
    )
    return [wake_up(row) for row in found]


def unstarted_of_stopping(*, run_id: UUID | None = None, limit: int = 1000) -> list[int]:
    """Return ids of steps that hold a token and must not start; of one run, or of all (the sweep).

    A step whose child run has begun hears how that ends.
    """
    return [
        row[0]
        for row in rows(
            "SELECT s.id FROM jobs_run AS r JOIN jobs_steprun AS s ON s.run_id = r.id"
            " WHERE r.stop IS NOT NULL AND r.status IN ('queued', 'running', 'waiting')"
            " AND s.status IN ('ready', 'waiting') AND s.wake_at IS NOT NULL"
            " AND s.phase = 'forward' AND s.generation = r.generation"
            " AND NOT (s.kind = 'child' AND EXISTS"
            " (SELECT FROM jobs_run AS c WHERE c.parent_id = s.id))"
            " AND (%(run)s::uuid IS NULL OR r.id = %(run)s) LIMIT %(limit)s",
            {"run": run_id, "limit": limit},
        )
    ]


def live_children_of_stopping(*, run_id: UUID | None = None, limit: int = 100) -> list[UUID]:
    """Return child runs that go on although their parent stops; of one run, or of all."""
    return [
        row[0]
        for row in rows(
            "SELECT c.id FROM jobs_run AS r JOIN jobs_steprun AS s ON s.run_id = r.id"
            " JOIN jobs_run AS c ON c.parent_id = s.id"
            " WHERE r.stop IS NOT NULL AND r.status IN ('queued', 'running', 'waiting')"
            " AND s.kind = 'child' AND s.status = 'waiting' AND c.stop IS NULL AND NOT c.pivoted"
            " AND c.status IN ('queued', 'running', 'waiting')"
            " AND (%(run)s::uuid IS NULL OR r.id = %(run)s) LIMIT %(limit)s",
            {"run": run_id, "limit": limit},
        )
    ]


def prune(*, limit: int) -> int:
    """Remove finished runs past their retention, at most `limit`, with all that belongs to them.

    Rows that somebody holds are left for the next time: a writer never waits for this.
    """
    found = rows(
        "WITH gone AS MATERIALIZED (SELECT r.id FROM jobs_run AS r"
        " WHERE r.expires_at <= statement_timestamp() AND r.finished_at IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM jobs_steprun AS s WHERE s.run_id = r.id"
        " AND s.status IN ('ready', 'running', 'waiting'))"
        # A child run stays as long as the run that may have to undo it.
        " AND NOT EXISTS (SELECT FROM jobs_steprun AS p WHERE p.id = r.parent_id)"
        " ORDER BY r.expires_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)"
        " SELECT id FROM gone",
        {"limit": limit},
    )
    ids = [row[0] for row in found]
    if ids:
        for statement in _PRUNE:
            execute(statement, {"ids": ids})
    return len(ids)


_STEPS = "(SELECT id FROM jobs_steprun WHERE run_id = ANY(%(ids)s))"
_PRUNE = (
    f"DELETE FROM jobs_attempt WHERE step_run_id IN {_STEPS}",  # noqa: S608 - constants
    f"DELETE FROM jobs_memo WHERE step_run_id IN {_STEPS}",  # noqa: S608 - constants
    "DELETE FROM jobs_pendingevent WHERE run_id = ANY(%(ids)s)",
    "DELETE FROM jobs_signal WHERE run_id = ANY(%(ids)s)",
    "DELETE FROM jobs_wait WHERE run_id = ANY(%(ids)s)",
    "DELETE FROM jobs_hold WHERE run_id = ANY(%(ids)s)",
    "DELETE FROM jobs_action WHERE run_id = ANY(%(ids)s)",
    "UPDATE jobs_firing SET run_id = NULL WHERE run_id = ANY(%(ids)s)",
    "DELETE FROM jobs_join WHERE run_id = ANY(%(ids)s)",
    "DELETE FROM jobs_steprun WHERE run_id = ANY(%(ids)s)",
    "DELETE FROM jobs_run WHERE id = ANY(%(ids)s)",
)


def call_turn(run_id: UUID, *, error: str | None) -> None:
    """Ask for the run's end to be worked out."""
    execute(
        "UPDATE jobs_run SET turn_at = clock_timestamp(),"
        " error = coalesce(error, %(error)s::jsonb) WHERE id = %(run)s",
        {"run": run_id, "error": error},
    )
