"""What a history left in the tables, read with plain SQL: the engine's rows, the steps' journal."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from tests.faults.behaviours import COMPENSATE, RunPlan, plan

T = TypeVar("T")
CALLS = ("step", "each")
ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class RunRow:
    """A row of jobs_run."""

    id: UUID
    workflow: str
    number: int
    status: str
    rollback: str
    stop: str | None
    error: dict[str, Any] | None
    output: Any
    created_at: datetime
    finished_at: datetime | None

    @property
    def is_ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class StepRow:
    """A row of jobs_steprun."""

    id: int
    run_id: UUID
    generation: int
    node: str
    step: str
    kind: str
    phase: str
    status: str
    each: str | None
    attempts: int
    output: Any
    undo: Any
    error: dict[str, Any] | None
    due_at: datetime | None
    wake_at: datetime | None
    lease_until: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class AttemptRow:
    """A row of jobs_attempt with its step's run and node."""

    run_id: UUID
    node: str
    number: int
    outcome: str
    error: dict[str, Any] | None
    worker: str | None
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True)
class JoinRow:
    """A row of jobs_join."""

    run_id: UUID
    name: str
    live: int


@dataclass(frozen=True)
class Line:
    """A line of the steps' own journal."""

    id: int
    run_id: UUID
    number: int
    node: str
    attempt: int
    event: str
    key: str
    value: Any
    pid: int
    at: datetime


@dataclass(frozen=True)
class Effect:
    """What an attempt wrote through Django's connection."""

    run_id: UUID
    node: str
    attempt: int
    at: datetime


@dataclass
class RunRecord:
    """All about one run."""

    row: RunRow
    plan: RunPlan
    steps: dict[str, StepRow] = field(default_factory=dict)
    tries: dict[str, list[AttemptRow]] = field(default_factory=lambda: defaultdict(list))
    joins: list[JoinRow] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)  # events that are visible, by node

    @property
    def moves(self) -> int:
        """How much has happened: grows with everything that does."""
        ends = sum(step.finished_at is not None for step in self.steps.values())
        return ends + sum(map(len, self.tries.values())) + len(self.lines) + self.row.is_ended

    def forward(self) -> dict[str, StepRow]:
        """The rows of the shape's calls and of the items of each `each`, by node."""
        return {
            node: row
            for node, row in self.steps.items()
            if row.phase == "forward" and row.kind in CALLS
        }

    def values(self) -> dict[str, Any]:
        """The outputs that later nodes see: None for what was skipped, failed or left out."""
        rows = self.forward()
        return {
            call.node: rows[call.node].output
            if call.node in rows and rows[call.node].status == "succeeded"
            else None
            for call in self.plan.shape.calls
        }

    def backward(self) -> dict[str, StepRow]:
        """The compensations by the node that they undo."""
        return {
            node.removesuffix(COMPENSATE): row
            for node, row in self.steps.items()
            if row.phase == "compensation"
        }

    def lines_of(self, node: str, *events: str) -> list[Line]:
        return [line for line in self.lines if line.node == node and line.event in events]

    def lost(self, node: str) -> set[int]:
        """The attempts of a node that ended by the loss of their lease."""
        return {one.number for one in self.tries[node] if one.outcome == "lost"}


RUNS = """
SELECT id, workflow, (input->>'number')::int AS number, status, rollback, stop, error, output,
       created_at, finished_at
FROM jobs_run ORDER BY created_at
"""
STEPS = """
SELECT id, run_id, generation, node, step, kind, phase, status, each, attempts, output, undo, error,
       due_at, wake_at, lease_until, created_at, started_at, finished_at
FROM jobs_steprun ORDER BY id
"""
TRIES = """
SELECT s.run_id, s.node, a.number, a.outcome, a.error, a.worker, a.started_at, a.finished_at
FROM jobs_attempt AS a JOIN jobs_steprun AS s ON s.id = a.step_run_id ORDER BY s.id, a.number
"""
JOINS = "SELECT run_id, name, live FROM jobs_join"
LINES = "SELECT * FROM fault_journal ORDER BY id"
EFFECTS = "SELECT * FROM fault_effect"
EVENTS = """
SELECT (payload->>'number')::int, payload->>'node' FROM event_system_event
WHERE type = 'fault.told'
"""


def read(url: str, *, seed: int) -> list[RunRecord]:
    """Return the records of all runs, in the order in which they were created; one snapshot."""
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        runs = _rows(connection, RunRow, RUNS)
        found = {row.id: RunRecord(row, plan(seed, row.number)) for row in runs}
        for step in _rows(connection, StepRow, STEPS):
            found[step.run_id].steps[step.node] = step
        for one in _rows(connection, AttemptRow, TRIES):
            found[one.run_id].tries[one.node].append(one)
        for join in _rows(connection, JoinRow, JOINS):
            found[join.run_id].joins.append(join)
        for line in _rows(connection, Line, LINES):
            found[line.run_id].lines.append(line)
        for effect in _rows(connection, Effect, EFFECTS):
            found[effect.run_id].effects.append(effect)
        by_number = {record.row.number: record for record in found.values()}
        for number, node in connection.execute(EVENTS):
            by_number[number].told[node] += 1
    return list(found.values())


def digest(url: str) -> dict[str, str]:
    """Return a hash of the content of each table: equal means that nothing has changed."""
    tables = (
        "event_system_event",
        "jobs_run",
        "jobs_steprun",
        "jobs_attempt",
        "jobs_join",
        "fault_journal",
        "fault_effect",
    )
    with psycopg.connect(url) as connection:
        return {table: _digest(connection, table) for table in tables}


def _digest(connection: psycopg.Connection[Any], table: str) -> str:
    row = connection.execute(
        f"SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM {table} AS t"  # noqa: S608 - our own names
    ).fetchone()
    return str(row and row[0])


def _rows(connection: psycopg.Connection[Any], kind: type[T], sql: str) -> Sequence[T]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(sql).fetchall()
