"""Each state change as one guarded statement: the guard is in the WHERE, the rows returned say who
won.

Locks are always taken from the leaf to the root, step, join, outer join, run, so that no two
transactions wait for each other. Times are the database's clock.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from uuid import UUID

from django.db import connection

from jobs.dispatch import WakeUp
from jobs.models import Run, StepRun


@cache
def _sql(name: str) -> str:
    return files("jobs.sql").joinpath(f"{name}.sql").read_text()


def _rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


@dataclass(frozen=True)
class Claim:
    """A step taken for one attempt: what execution needs to know, read by the statement that took
    it.
    """

    id: int
    run_id: UUID
    generation: int
    node: str
    step: str
    phase: str
    attempt: int
    fence: int
    definition_id: str
    workflow: str
    company: str | None
    env: str
    queue: str
    input: dict[str, Any]
    correlation_id: str | None
    depth: int
    rollback_plan: dict[str, Any] | None
    outputs: dict[str, Any]

    @property
    def is_compensation(self) -> bool:
        return self.phase == StepRun.Phase.COMPENSATION


_JSON_COLUMNS = {13, 16, 17}  # input, rollback_plan, outputs


def claim(step_run_id: int, *, worker: str, lease: timedelta) -> Claim | None:
    """Take the step for one attempt; None if it is not due, done, held by another or its run is
    stopping.
    """
    rows = _rows(_sql("claim"), {"id": step_run_id, "worker": worker, "lease": lease})
    if not rows:
        return None
    values = [
        json.loads(value) if index in _JSON_COLUMNS and isinstance(value, str) else value
        for index, value in enumerate(rows[0])
    ]
    values[-1] = values[-1] or {}
    return Claim(*values)


@dataclass(frozen=True)
class Outcome:
    """How a step ended: `output`, `undo` and `error` as JSON text, None for SQL NULL."""

    status: str
    output: str | None = None
    undo: str | None = None
    error: str | None = None


def settle(held: Claim, outcome: Outcome) -> bool:
    """Write the outcome; False if another worker holds the step by now."""
    parameters = {"id": held.id, "fence": held.fence, **vars(outcome)}
    return bool(_rows(_sql("settle"), parameters))


def postpone(held: Claim, *, error: str, delay: timedelta) -> bool:
    """Record a failed attempt and try again after the delay; False if the lease was lost."""
    parameters = {"id": held.id, "fence": held.fence, "error": error, "delay": delay}
    return bool(_rows(_sql("postpone"), parameters))


def save_undo(held: Claim, undo: str) -> bool:
    """Store undo data while the step runs; False if the lease was lost."""
    return bool(
        _rows(
            "UPDATE jobs_steprun SET undo = %(undo)s::jsonb"
            " WHERE id = %(id)s AND fence = %(fence)s AND status = 'running' RETURNING id",
            {"id": held.id, "fence": held.fence, "undo": undo},
        )
    )


@dataclass(frozen=True)
class NewStep:
    """A row to insert; `needs` are the nodes whose outputs its claim reads."""

    node: str
    step: str
    queue: str
    needs: Sequence[str] = ()


def enter(
    run_id: UUID,
    generation: int,
    *,
    phase: str,
    steps: Iterable[NewStep],
    joins: Iterable[tuple[str, int]],
    resend: timedelta,
) -> list[WakeUp]:
    """Make the steps ready, and the joins of their groups; return what to send after commit."""
    nodes = [vars(step) for step in steps]
    counts = [{"name": name, "live": live} for name, live in joins]
    parameters = {
        "run": run_id,
        "generation": generation,
        "phase": phase,
        "nodes": json.dumps(nodes),
        "joins": json.dumps(counts),
        "resend": resend,
    }
    is_compensation = phase == StepRun.Phase.COMPENSATION
    return [
        WakeUp(id_, run_id, step, queue, is_compensation)
        for id_, step, queue in _rows(_sql("enter"), parameters)
    ]


def leave_branch(run_id: UUID, generation: int, join: str) -> int:
    """Give a branch's token back to its join and return how many are still live."""
    rows = _rows(
        "UPDATE jobs_join SET live = live - 1"
        " WHERE run_id = %(run)s AND generation = %(generation)s AND name = %(join)s"
        " RETURNING live",
        {"run": run_id, "generation": generation, "join": join},
    )
    return int(rows[0][0])


def is_stopping(run_id: UUID) -> bool:
    """Say whether the run was told to stop; asked after a lock was waited for, it sees all before
    it.
    """
    return bool(
        _rows("SELECT 1 FROM jobs_run WHERE id = %(run)s AND stop IS NOT NULL", {"run": run_id})
    )


def stop(run_id: UUID, *, why: str, error: str | None) -> bool:
    """Tell a live run to start no further step; False if it was told before or has ended."""
    return bool(
        _rows(
            "UPDATE jobs_run SET stop = %(why)s, error = coalesce(error, %(error)s::jsonb)"
            " WHERE id = %(run)s AND stop IS NULL AND status IN ('queued', 'running', 'waiting')"
            " RETURNING id",
            {"run": run_id, "why": why, "error": error},
        )
    )


def finish_forward(run_id: UUID, *, output: str | None) -> bool:
    """End the run well, unless it was told to stop meanwhile: then False, and the rollback is the
    caller's.
    """
    return bool(
        _rows(
            "UPDATE jobs_run SET status = 'succeeded', output = %(output)s::jsonb,"
            " finished_at = clock_timestamp()"
            " WHERE id = %(run)s AND stop IS NULL AND status IN ('queued', 'running', 'waiting')"
            " RETURNING id",
            {"run": run_id, "output": output},
        )
    )


def begin_rollback(run_id: UUID, *, plan: dict[str, Any]) -> bool:
    """Turn a stopped run with nothing live around; False if that was done before."""
    return bool(
        _rows(
            "UPDATE jobs_run SET status = 'compensating', rollback_plan = %(plan)s::jsonb"
            " WHERE id = %(run)s AND stop IS NOT NULL AND status IN ('queued', 'running',"
            " 'waiting')"
            " RETURNING id",
            {"run": run_id, "plan": json.dumps(plan)},
        )
    )


def finish_stopped(run_id: UUID, *, rollback: str) -> bool:
    """End a stopped run as `failed` or `cancelled` with the rollback's result."""
    return bool(
        _rows(
            "UPDATE jobs_run SET status = stop, rollback = %(rollback)s, finished_at ="
            " clock_timestamp()"
            " WHERE id = %(run)s AND stop IS NOT NULL AND finished_at IS NULL RETURNING id",
            {"run": run_id, "rollback": rollback},
        )
    )


def abandon(step_run_id: int) -> tuple[UUID, int, str] | None:
    """End a ready step of a stopping run unstarted; return its run, generation and node."""
    rows = _rows(
        "UPDATE jobs_steprun AS s SET status = 'stopped', finished_at = clock_timestamp(),"
        " wake_at = NULL"
        " FROM jobs_run AS r WHERE s.id = %(id)s AND r.id = s.run_id AND r.stop IS NOT NULL"
        " AND s.status = 'ready' AND s.phase = 'forward' RETURNING s.run_id, s.generation, s.node",
        {"id": step_run_id},
    )
    return rows[0] if rows else None


def ready_steps_of_stopping_runs(*, run_id: UUID | None = None, limit: int = 1000) -> list[int]:
    """Return ids of steps that must not start any more; of one run, or of all (the sweep)."""
    return [
        row[0]
        for row in _rows(
            "SELECT s.id FROM jobs_run AS r JOIN jobs_steprun AS s ON s.run_id = r.id"
            " WHERE r.stop IS NOT NULL AND r.status IN ('queued', 'running', 'waiting')"
            " AND s.status = 'ready' AND s.phase = 'forward'"
            " AND (%(run)s::uuid IS NULL OR r.id = %(run)s) LIMIT %(limit)s",
            {"run": run_id, "limit": limit},
        )
    ]


def due(*, resend: timedelta, limit: int) -> list[WakeUp]:
    """Return the steps whose moment has come and put each off by the resend interval."""
    return [
        WakeUp(id_, run_id, step, queue, phase == StepRun.Phase.COMPENSATION)
        for id_, run_id, step, queue, phase in _rows(
            _sql("sweep"), {"resend": resend, "limit": limit}
        )
    ]


def extend_leases(workers: list[str], *, lease: timedelta) -> int:
    """Extend the unexpired leases of these workers' steps; one statement. Return how many."""
    return len(
        _rows(
            "UPDATE jobs_steprun SET lease_until = clock_timestamp() + %(lease)s,"
            " wake_at = clock_timestamp() + %(lease)s"
            " WHERE status = 'running' AND worker = ANY(%(workers)s) AND lease_until >"
            " clock_timestamp()"
            " RETURNING id",
            {"workers": workers, "lease": lease},
        )
    )


def insert_run(run: Run) -> bool:
    """Insert the run; False if its idempotency key is taken (then nothing was inserted)."""
    rows = _rows(
        "INSERT INTO jobs_run (id, workflow, definition_id, company, env, queue, status, rollback,"
        " generation, input, idempotency_key, correlation_id, depth, created_at)"
        " VALUES (%(id)s, %(workflow)s, %(definition)s, %(company)s, %(env)s, %(queue)s, 'queued',"
        " 'not_needed', 1, %(input)s::jsonb, %(key)s, %(correlation)s, %(depth)s,"
        " clock_timestamp())"
        " ON CONFLICT (workflow, company, idempotency_key) WHERE idempotency_key IS NOT NULL"
        " DO NOTHING"
        " RETURNING id",
        {
            "id": run.pk,
            "workflow": run.workflow,
            "definition": run.definition_id,
            "company": run.company,
            "env": run.env,
            "queue": run.queue,
            "input": _json(run.input),
            "key": run.idempotency_key,
            "correlation": run.correlation_id,
            "depth": run.depth,
        },
    )
    return bool(rows)
