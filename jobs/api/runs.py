"""Reading runs: newest first, one, and its steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from ninja import Query, Router

from jobs.api.schemas import Name, Page, RunDetails, RunOut, RunStatus, StepOut
from jobs.api.security import READ, KeyRequest
from jobs.errors import UnknownRun
from jobs.models import Run, StepRun

router = Router(tags=["runs"])
M = TypeVar("M", bound=Model)
MAX_ID = 2**63 - 1
Limit = Annotated[int, Query(ge=1, le=100, description="how many of them")]


@dataclass(frozen=True)
class Rows(Generic[M]):
    """What `Page` is made from."""

    items: Sequence[M]
    next_cursor: str | None


def own_runs(request: KeyRequest) -> QuerySet[Run]:
    """Return the runs of the key's company; nothing else of the API reads runs."""
    return Run.objects.filter(company=request.auth.company)


def own_run(request: KeyRequest, run_id: UUID) -> Run:
    """Return the company's run; another's is as unknown as one that does not exist."""
    found = own_runs(request).filter(pk=run_id).first()
    if found is None:
        raise UnknownRun(run_id)
    return found


@router.get("/runs", response=Page[RunOut], auth=READ, operation_id="list_runs")
def list_runs(
    request: KeyRequest,
    workflow: Annotated[Name | None, Query()] = None,
    status: Annotated[RunStatus | None, Query()] = None,
    env: Annotated[Name | None, Query()] = None,
    cursor: Annotated[UUID | None, Query(description="`next_cursor` of the page before")] = None,
    limit: Limit = 50,
) -> Rows[Run]:
    """List the company's runs, newest first."""
    wanted = {"workflow": workflow, "status": status, "env": env, "pk__lt": cursor}
    rows = own_runs(request).filter(**{k: v for k, v in wanted.items() if v is not None})
    return page(rows.defer("input", "output", "rollback_plan").order_by("-pk"), limit)


@router.get("/runs/{uuid:run_id}", response=RunDetails, auth=READ, operation_id="get_run")
def get_run(request: KeyRequest, run_id: UUID) -> Run:
    """Return a run."""
    return own_run(request, run_id)


@router.get(
    "/runs/{uuid:run_id}/steps", response=Page[StepOut], auth=READ, operation_id="list_steps"
)
def list_steps(
    request: KeyRequest,
    run_id: UUID,
    cursor: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    limit: Limit = 50,
) -> Rows[StepRun]:
    """List a run's steps and compensations in the order in which they became ready."""
    rows = own_run(request, run_id).steps.filter(pk__gt=cursor or 0)
    return page(rows.defer("value", "output", "undo", "needs").order_by("pk"), limit)


def page(rows: QuerySet[M], limit: int) -> Rows[M]:
    """Return the first of the rows, and the key after which the next page begins."""
    found = list(rows[: limit + 1])
    more = len(found) > limit
    items = found[:limit]
    return Rows(items, str(items[-1].pk) if more else None)
