"""Starting workflows by name."""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Header, Query, Router
from ninja.errors import HttpError
from pydantic_core import from_json

from jobs import services
from jobs.api.schemas import RunOut
from jobs.api.security import WRITE, KeyRequest
from jobs.models import Run

router = Router(tags=["workflows"])
# The body is the workflow's input, of whatever type: ninja's own parameters are of one type each.
BODY = {
    "requestBody": {
        "required": True,
        "description": "The input: the value of the one parameter, or an object by parameter.",
        "content": {"application/json": {"schema": {}}},
    }
}


@router.post(
    "/workflows/{path:name}",
    response={202: RunOut},
    auth=WRITE,
    operation_id="start_workflow",
    openapi_extra=BODY,
)
def start_workflow(
    request: KeyRequest,
    response: HttpResponse,
    name: str,
    env: Annotated[str, Query()] = "live",
    idempotency_key: Annotated[
        str | None, Header(alias="Idempotency-Key", description="the same key, the same run")
    ] = None,
) -> Run:
    """Start a run of the workflow and return at once; names may contain slashes."""
    run = services.start_workflow(
        name,
        json_body(request),
        company=request.auth.company,
        env=env,
        idempotency_key=idempotency_key,
    )
    response["Location"] = f"{_root(request)}/runs/{run.pk}"
    return run


def json_body(request: HttpRequest) -> Any:
    """Return the body as JSON data: strictly, so without NaN and lone surrogates."""
    try:
        return from_json(request.body, allow_inf_nan=False)
    except ValueError as error:
        raise HttpError(400, f"the body is no JSON: {error}") from error


def _root(request: HttpRequest) -> str:
    return request.path.partition("/workflows/")[0]
