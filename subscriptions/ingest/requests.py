"""Events that come as a request instead of as messages: all of them, or none and the reasons."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID, uuid4

from django.db import Error, transaction

from subscriptions.errors import EventsRefused, KeyReused, RefusedMessage
from subscriptions.ingest import envelopes, filing, strict_json
from subscriptions.ingest.companies import Companies
from subscriptions.ingest.envelopes import Incoming, Refusal
from subscriptions.ingest.message import Message
from subscriptions.statements import fetch

SOURCE = "api"
BY_KEY = "api:key"  # the ids of these are keys of requests, not those of bodies
MOST = 1000  # events in a request

TAKEN = """
SELECT inbox.event_id, inbox.message_id
FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS given (source, source_id, place)
JOIN event_system_inbox AS inbox
    ON inbox.company = %s AND inbox.source = given.source AND inbox.source_id = given.source_id
ORDER BY given.place
"""


class Taken(NamedTuple):
    """What an event of a request became; `is_new` is false if it had been taken in before."""

    event_id: UUID
    source_id: str
    is_new: bool


def take_in(body: str, *, company: str, idempotency_key: str | None = None) -> list[Taken]:
    """Record the events of a request, each in one of the envelopes, in one transaction.

    `body` is JSON text: an event, or a list of up to 1,000. An event that was taken in before, by
    its own id or by the request's key, is not recorded again.

    Raises EventsRefused with every problem, or KeyReused if the key came with another body.
    """
    digest = sha256(body.encode("utf-8", "surrogatepass")).hexdigest()
    request_id = f"{digest}/{uuid4()}"
    events = _read(_texts(body), company, request_id, idempotency_key)
    with transaction.atomic():
        _insert(events)
        taken = fetch(TAKEN, [*_identities(events), company])
        for event, (_, message_id) in zip(events, taken, strict=True):
            if event.source == BY_KEY and not message_id.startswith(digest):
                raise KeyReused(idempotency_key or "")
    first = {event.identity: place for place, event in reversed(list(enumerate(events)))}
    return [
        Taken(
            event_id, event.source_id, message_id == request_id and first[event.identity] == place
        )
        for place, (event, (event_id, message_id)) in enumerate(zip(events, taken, strict=True))
    ]


def _texts(body: str) -> list[str]:
    try:
        texts = strict_json.elements(body)
    except RefusedMessage as error:
        raise EventsRefused({None: (error.reason, error.problem)}) from None
    if not 0 < len(texts) <= MOST:
        problem = f"1 to {MOST:,} events are taken at once, not {len(texts):,}"
        raise EventsRefused({None: ("too_large", problem)})
    return texts


def _read(
    texts: Sequence[str], company: str, request_id: str, idempotency_key: str | None
) -> list[Incoming]:
    mapping = Companies(by_queue={SOURCE: company})
    now = datetime.now(UTC)
    read = [
        envelopes.read(_message(text, now, request_id), mapping, source=SOURCE, fallback_id="")
        for text in texts
    ]
    refused: dict[int | None, tuple[str, str]] = {
        place: (one.reason, one.problem)
        for place, one in enumerate(read)
        if isinstance(one, Refusal)
    }
    if refused:
        raise EventsRefused(refused)
    return [
        _identified(one, place, idempotency_key)
        for place, one in enumerate(read)
        if isinstance(one, Incoming)
    ]


def _message(text: str, now: datetime, request_id: str) -> Message:
    return Message(
        queue=SOURCE,
        id=request_id,
        handle="",
        body=text,
        sender="",
        sent_at=now,
        receive_count=1,
        attributes={},
    )


def _identified(event: Incoming, place: int, idempotency_key: str | None) -> Incoming:
    """Return the event with an id that makes a repeated request the same event."""
    if event.source_id:
        return event
    if idempotency_key is None:
        return replace(event, source_id=str(uuid4()))
    return replace(event, source=BY_KEY, source_id=f"{idempotency_key}/{place}")


def _insert(events: Sequence[Incoming]) -> None:
    try:
        with transaction.atomic():
            filing.insert(events)
    except Error as error:
        if not filing.is_of_data(error):
            raise
        raise EventsRefused(_refused_by_database(events)) from error


def _refused_by_database(events: Sequence[Incoming]) -> dict[int | None, tuple[str, str]]:
    with transaction.atomic():
        dead = filing.insert_halves(events).dead
        transaction.set_rollback(True)
    texts = [event.message.body for event in events]
    return {texts.index(one.message.body): (one.reason, one.problem) for one in dead}


def _identities(events: Sequence[Incoming]) -> list[list[str]]:
    return [[event.source for event in events], [event.source_id for event in events]]
