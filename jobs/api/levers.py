"""Acting on runs: each lever is one use case, recorded with the key's name and the reason."""

from uuid import UUID

from django.http import HttpResponse
from ninja import Router

from jobs import services
from jobs.api.runs import own_run
from jobs.api.schemas import EventIn, ForkIn, ResolveIn, RunOut, Why
from jobs.api.security import WRITE, KeyRequest, actor
from jobs.controls import LEVERS
from jobs.models import Run

router = Router(tags=["levers"], auth=WRITE)


@router.post("/runs/{uuid:run_id}/cancel", response={202: RunOut}, operation_id="cancel_run")
def cancel(request: KeyRequest, run_id: UUID, why: Why) -> Run:
    """Stop a run that is going on, or undo one that succeeded."""
    return _pull("cancel", request, run_id, why)


@router.post("/runs/{uuid:run_id}/retry", response={202: RunOut}, operation_id="retry_run")
def retry(request: KeyRequest, run_id: UUID, why: Why) -> Run:
    """Run a failed or cancelled run again; outputs that were not undone are kept."""
    return _pull("retry", request, run_id, why)


@router.post("/runs/{uuid:run_id}/fork", response={202: RunOut}, operation_id="fork_run")
def fork(request: KeyRequest, response: HttpResponse, run_id: UUID, why: ForkIn) -> Run:
    """Start a new run at a step, with the outputs from before it; the new run is returned."""
    made = _pull("fork", request, run_id, why, node=why.from_step)
    response["Location"] = request.path.replace(f"{run_id}/fork", str(made.pk))
    return made


@router.post("/runs/{uuid:run_id}/resume", response={202: RunOut}, operation_id="resume_rollback")
def resume(request: KeyRequest, run_id: UUID, why: Why) -> Run:
    """Try the compensations again that failed."""
    return _pull("resume", request, run_id, why)


@router.post("/runs/{uuid:run_id}/resolve", response={202: RunOut}, operation_id="resolve_step")
def resolve(request: KeyRequest, run_id: UUID, why: ResolveIn) -> Run:
    """Mark a compensation that failed as done by hand."""
    return _pull("resolve", request, run_id, why, node=why.step)


@router.post("/runs/{uuid:run_id}/events", response={202: RunOut}, operation_id="send_event")
def send_event(request: KeyRequest, run_id: UUID, event: EventIn) -> Run:
    """Give an event to the run: to the step that waits for its type, now or later."""
    services.send_event(own_run(request, run_id).pk, event.type, event.payload)
    return own_run(request, run_id)


def _pull(
    name: str, request: KeyRequest, run_id: UUID, why: Why, *, node: str | None = None
) -> Run:
    pulled = LEVERS[name].pull(
        own_run(request, run_id).pk, reason=why.reason, by=actor(request), node=node
    )
    return own_run(request, pulled.pk)
