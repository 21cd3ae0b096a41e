"""What a history left in the tables, read with plain SQL: the engine's rows, the steps' journal."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from tests.faults.behaviours import COMPENSATE, RunPlan, plan
from tests.faults.rows import Ask, AttemptRow, Effect, JoinRow, Line, RunRow, StepRow
from tests.faults.shapes import CUTTING, PIVOT

T = TypeVar("T")
CALLS = ("step", "each", "child", "task")


@dataclass
class RunRecord:
    """All about one run, in its present generation."""

    row: RunRow
    plan: RunPlan
    steps: dict[str, StepRow] = field(default_factory=dict)
    tries: dict[str, list[AttemptRow]] = field(default_factory=lambda: defaultdict(list))
    joins: list[JoinRow] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)  # events that are visible, by node
    kept: set[str] = field(default_factory=set)  # nodes of before a lever was pulled
    was_cancelled: bool = False  # planned so, in its first generation

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

    @property
    def is_retried(self) -> bool:
        return self.row.generation > 1 and self.row.forked_from_id is None

    @property
    def is_pivoted(self) -> bool:
        """Whether its point of no return is behind it."""
        rows = self.forward()
        pivots = [call.node for call in self.plan.shape.calls if call.kind == PIVOT]
        return any(node in rows and rows[node].status == "succeeded" for node in pivots)

    def left_out(self) -> set[str]:
        """The nodes behind those whose failure ended the run well."""
        rows, shape = self.forward(), self.plan.shape
        cuts = [call.node for call in shape.calls if call.kind == CUTTING]
        failed = [node for node in cuts if node in rows and rows[node].status == "failed"]
        return {
            call.node
            for call in shape.calls
            if any(shape.precedes(node, call.node) for node in failed)
        }

    def lines_of(self, node: str, *events: str) -> list[Line]:
        return [line for line in self.lines if line.node == node and line.event in events]

    def lost(self, node: str) -> set[int]:
        """The attempts of a node that ended by the loss of their lease."""
        return {one.number for one in self.tries[node] if one.outcome == "lost"}


RUNS = """
SELECT id, workflow, input, status, rollback, stop, error, output, created_at, finished_at,
       generation, parent_id, forked_from_id
FROM jobs_run ORDER BY created_at
"""
# Of a run that was retried: what belongs to its present generation.
PRESENT = "JOIN jobs_run AS r ON r.id = s.run_id AND r.generation = s.generation"
STEPS = f"""
SELECT s.id, s.run_id, s.generation, s.node, s.step, s.kind, s.phase, s.status, s.each, s.attempts,
       s.output, s.undo, s.error, s.due_at, s.wake_at, s.lease_until, s.created_at, s.started_at,
       s.finished_at, s.spent, s.inherited
FROM jobs_steprun AS s {PRESENT} ORDER BY s.id
"""  # noqa: S608 - our own names
TRIES = f"""
SELECT s.run_id, s.node, a.number, a.outcome, a.error, a.worker, a.started_at, a.finished_at
FROM jobs_attempt AS a JOIN jobs_steprun AS s ON s.id = a.step_run_id {PRESENT}
ORDER BY s.id, a.number
"""  # noqa: S608 - our own names
JOINS = f"SELECT s.run_id, s.name, s.live FROM jobs_join AS s {PRESENT}"  # noqa: S608 - our own names
LINES = f"""
SELECT l.* FROM fault_journal AS l JOIN jobs_steprun AS s ON s.id = l.step_id {PRESENT}
ORDER BY l.id
"""  # noqa: S608 - our own names
EFFECTS = f"""
SELECT l.run_id, l.node, l.attempt, l.at
FROM fault_effect AS l JOIN jobs_steprun AS s ON s.id = l.step_id {PRESENT}
"""  # noqa: S608 - our own names
EVENTS = """
SELECT (payload->>'run')::uuid, payload->>'node' FROM event_system_event
WHERE type = 'fault.told'
"""
ASKS = "SELECT * FROM fault_ask ORDER BY id"


def read(url: str, *, seed: int, before: Collection[int] = ()) -> list[RunRecord]:
    """Return the records of all runs, in the order in which they were created; one snapshot.

    `before` are the step rows that were there when levers were pulled.
    """
    with psycopg.connect(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        runs = _rows(connection, RunRow, RUNS)
        found = {row.id: RunRecord(row, _plan(seed, row)) for row in runs}
        for record in found.values():
            record.was_cancelled = plan(seed, record.row.number).cancel_after is not None
        for step in _rows(connection, StepRow, STEPS):
            found[step.run_id].steps[step.node] = step
            if step.id in before or step.inherited:
                found[step.run_id].kept.add(step.node)
        for one in _rows(connection, AttemptRow, TRIES):
            found[one.run_id].tries[one.node].append(one)
        for join in _rows(connection, JoinRow, JOINS):
            found[join.run_id].joins.append(join)
        for line in _rows(connection, Line, LINES):
            found[line.run_id].lines.append(line)
        for effect in _rows(connection, Effect, EFFECTS):
            found[effect.run_id].effects.append(effect)
        for run_id, node in connection.execute(EVENTS):
            found[run_id].told[node] += 1
    return list(found.values())


def asks(url: str) -> Sequence[Ask]:
    """Return what was asked for of singletons and debounced runs, in that order."""
    with psycopg.connect(url) as connection:
        return _rows(connection, Ask, ASKS)


def _plan(seed: int, row: RunRow) -> RunPlan:
    planned = plan(seed, row.number)
    return planned if row.generation == 1 else planned.mended


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
        "jobs_memo",
        "jobs_hold",
        "jobs_pendingevent",
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
