"""Events sent over HTTP: the same envelopes as on the queue, recorded before the answer."""

from typing import Annotated, Any
from uuid import UUID

from ninja import Header, Router, Schema, Status
from ninja.errors import HttpError

from jobs.api.schemas import Name
from jobs.api.security import CompanyKey, KeyRequest
from subscriptions.ingest.requests import MOST, Taken, take_in

router = Router(tags=["events"])
PUBLISH = CompanyKey("events:write")
EVENT = {
    "type": "object",
    "required": ["type", "payload"],
    "properties": {
        "type": {"type": "string", "description": "A declared event type."},
        "payload": {"type": "object", "description": "As the type's contract has it."},
        "timestamp": {"type": "string", "format": "date-time", "description": "Default: now."},
        "id": {"type": "string", "description": "Your own: an event is taken once."},
        "version": {"type": "integer", "minimum": 1},
        "key": {"type": "string", "description": "What order goes by."},
        "correlationId": {"type": "string"},
        "companyId": {"type": "string", "description": "If given, that of the API key."},
    },
}
ANY = {"anyOf": [EVENT, {"type": "object", "description": "A CloudEvent, or EventBridge's."}]}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": (
            f"An event, or a list of up to {MOST:,}: as here, as a CloudEvent (1.0, structured"
            " JSON), or in EventBridge's envelope."
        ),
        "content": {
            "application/json": {
                "schema": {
                    "oneOf": [ANY, {"type": "array", "items": ANY, "minItems": 1, "maxItems": MOST}]
                }
            }
        },
    }
}


class PublishedOut(Schema):
    """`is_new` is false for an event that was taken in before."""

    id: UUID
    source_id: str
    is_new: bool


@router.post(
    "/events",
    response={201: list[PublishedOut]},
    auth=PUBLISH,
    operation_id="publish_events",
    openapi_extra=BODY,
)
def publish_events(
    request: KeyRequest,
    idempotency_key: Annotated[
        Name | None, Header(alias="Idempotency-Key", description="the same key, the same events")
    ] = None,
) -> Status[list[dict[str, object]]]:
    """Record events: all of them, or none. They are routed to those who subscribe."""
    try:
        text = request.body.decode()
    except UnicodeDecodeError as error:
        raise HttpError(400, f"the body is not UTF-8: byte {error.start} is wrong") from error
    taken = take_in(text, company=request.auth.company, idempotency_key=idempotency_key)
    return Status(201, [_out(one) for one in taken])


def _out(taken: Taken) -> dict[str, object]:
    return {"id": taken.event_id, "source_id": taken.source_id, "is_new": taken.is_new}
