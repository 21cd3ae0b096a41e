"""The rows of the tables that a history is judged by: the engine's own, and the steps' journal."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from tests.faults.numbers import number_of

ENDED = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class RunRow:
    """A row of jobs_run."""

    id: UUID
    workflow: str
    input: dict[str, Any]
    status: str
    rollback: str
    stop: str | None
    error: dict[str, Any] | None
    output: Any
    created_at: datetime
    finished_at: datetime | None
    generation: int = 1
    parent_id: int | None = None
    forked_from_id: UUID | None = None

    @property
    def number(self) -> int:
        return number_of(next(iter(self.input.values())))

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
    spent: int = 0  # attempts of earlier rounds
    inherited: bool = False


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
    step_id: int
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


@dataclass(frozen=True)
class Ask:
    """A start of a singleton or debounced workflow; without an answer if it was interrupted."""

    id: int
    number: int
    asked_at: datetime
    run_id: UUID | None
    answered_at: datetime | None
