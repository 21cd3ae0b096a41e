"""Events and runs: what the engine asks of the event system (`jobs.ports.Events`), and the relay's
offer of a page's events to the runs that wait for them.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

import structlog
from pydantic import BaseModel, ValidationError

from jobs import services as engine
from jobs.errors import InvalidOutput
from jobs.values import to_json
from subscriptions import outbox
from subscriptions.contracts import versions_of
from subscriptions.envelope import Envelope
from subscriptions.filters import contains
from subscriptions.models import Event

log = structlog.get_logger(__name__)

AT_ONCE = 100  # events offered in one statement: a payload may have a MiB


def describe(event: BaseModel | str, payload: Any = None) -> tuple[str, Any]:
    """Return a declared event's type and its payload as JSON data, checked as `publish` does."""
    declared, content = outbox.declared_event(event, payload)
    return declared.name, content.model_dump(mode="json", by_alias=True)


def publish(
    event_type: str,
    payload: Any,
    *,
    company: str | None,
    key: str | None,
    correlation_id: str | None,
    depth: int,
    run_id: UUID,
) -> None:
    """Put what `describe` gave into the outbox, in the caller's transaction, as from that run.

    The payload was checked then. A deploy since may have another contract, or none: the event goes
    out all the same, under the newest version that it fits, because the run has succeeded.
    """
    version = _version_of(event_type, payload)
    if version is None:
        log.warning("event_without_contract", type=event_type, correlation_id=correlation_id)
    outbox.insert(
        event_type,
        version,
        json.dumps(payload),
        company=company,
        key=key,
        correlation_id=correlation_id,
        depth=depth,
        run_id=run_id,
    )


def _version_of(event_type: str, payload: Any) -> int | None:
    for declared in versions_of(event_type):
        try:
            declared.model.model_validate(payload)
        except ValidationError:
            continue
        return declared.version
    return None


def past(
    event_type: str, company: str | None, since: datetime, match: Any = None
) -> Iterator[dict[str, Any]]:
    """Yield the payloads of the company's events of this type recorded since then, oldest first, as
    far back as the outbox is kept; with `match`, those that contain it.

    Read in pieces, by an index. A number of more digits than a float has is compared as a float
    here: the caller's own comparison decides.
    """
    found = Event.objects.filter(type=event_type, company=company, recorded_at__gte=since)
    payloads = found.order_by("recorded_at", "seq").values_list("payload", flat=True)
    for payload in payloads.iterator(chunk_size=AT_ONCE):
        is_wanted = match is None or contains(payload, match)
        if isinstance(payload, dict) and is_wanted and _is_storable(payload):
            yield payload


def offer(events: Sequence[Envelope]) -> int:
    """Give a page's events to the runs that wait for them and return how many went on.

    In the transaction that moves the relay's cursor, and asked after the page was read: a wait that
    is not there yet finds these events in the outbox. One query if nobody waits.
    """
    places = {(event.type, event.company) for event in events if event.type is not None}
    awaited = engine.awaited_events(places) if places else frozenset()
    wanted = (event for event in events if (event.type, event.company) in awaited)
    met = 0
    while chunk := list(islice(wanted, AT_ONCE)):
        readable = [(event, payload) for event in chunk if (payload := _payload(event)) is not None]
        met += engine.offer_events(
            [(str(e.type), e.company, payload, e.recorded_at) for e, payload in readable]
        )
    return met


def _payload(event: Envelope) -> Any:
    try:
        payload = json.loads(event.payload_text or "null")
    except (ValueError, RecursionError):
        payload = None
    if not _is_storable(payload):
        log.warning("event_not_offered", event_id=str(event.id), reason="no JSON object for jsonb")
        return None
    return payload


def _is_storable(payload: Any) -> bool:
    """Whether it can be a step's output: `json` columns hold what jsonb refuses, \u0000 say."""
    try:
        to_json(payload, what="event")
    except (InvalidOutput, RecursionError):
        return False
    return isinstance(payload, dict)
