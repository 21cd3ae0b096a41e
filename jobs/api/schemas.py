"""What the API takes and returns."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from django.db.models import TextChoices
from ninja import Field, Schema
from pydantic import AfterValidator, JsonValue, StringConstraints, WithJsonSchema

from jobs.models import Run, StepRun

T = TypeVar("T")


def inline(kind: type[TextChoices]) -> WithJsonSchema:
    """Describe the choices where they stand: as components two `Status` would be one."""
    return WithJsonSchema({"type": "string", "enum": kind.values})


RunStatus = Annotated[Run.Status, inline(Run.Status)]
WaitingFor = Annotated[Run.WaitingFor, inline(Run.WaitingFor)]
Rollback = Annotated[Run.Rollback, inline(Run.Rollback)]
StepPhase = Annotated[StepRun.Phase, inline(StepRun.Phase)]
StepStatus = Annotated[StepRun.Status, inline(StepRun.Status)]


def storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    return text


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=2000),
    AfterValidator(storable),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=250), AfterValidator(storable)]


class Page(Schema, Generic[T]):
    """A page of a list. `next_cursor` is the next page's `cursor`, null on the last one."""

    items: list[T]
    next_cursor: str | None


class ErrorOut(Schema):
    """What went wrong, and at which node of the run."""

    type: str
    message: str
    node: str | None = None


class RunOut(Schema):
    """A run of a workflow."""

    id: UUID
    workflow: str
    env: str
    status: RunStatus
    waiting_for: WaitingFor | None
    rollback: Rollback
    generation: int
    idempotency_key: str | None
    correlation_id: str | None
    forked_from: UUID | None = Field(alias="forked_from_id")
    error: ErrorOut | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    deadline_at: datetime | None


class RunDetails(RunOut):
    """A run with its input and output."""

    input: JsonValue
    output: JsonValue


class StepOut(Schema):
    """A step of a run, or its compensation."""

    node: str
    step: str
    kind: str
    phase: StepPhase
    status: StepStatus
    waiting_for: WaitingFor | None
    generation: int
    attempts: int
    progress: float | None
    progress_note: str | None
    error: ErrorOut | None
    started_at: datetime | None
    finished_at: datetime | None


class Why(Schema):
    """Why it is done; recorded with the name of the API key."""

    reason: Text


class ForkIn(Why):
    from_step: Name


class ResolveIn(Why):
    step: Name


class EventIn(Schema):
    """An event for one run."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
    payload: Any = None
