"""Publishing from code: a row in the outbox, in the caller's transaction."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from pydantic import BaseModel

from subscriptions import scheduled
from subscriptions.contracts import EventType, type_named, type_of
from subscriptions.scheduled import Moment

INSERT = """
INSERT INTO event_system_event
    (source, source_id, company, type, version, payload, key, correlation_id, depth)
VALUES (%s, %s, %s, %s, %s, %s::json, %s,
    COALESCE(%s, NULLIF(current_setting('counterpoint.correlation_id', true), '')),
    COALESCE(%s, CASE WHEN current_setting('counterpoint.depth', true) ~ '^[0-9]{1,6}$'
        THEN current_setting('counterpoint.depth', true)::integer ELSE 0 END))
RETURNING id
"""


def publish(
    event: BaseModel | str,
    payload: Mapping[str, Any] | None = None,
    *,
    company: str | None,
    at: datetime | None = None,
    delay: timedelta | None = None,
    key: str | None = None,
    correlation_id: str | None = None,
    depth: int | None = None,
) -> UUID:
    """Put an event into the outbox and return its id; if the transaction rolls back, nothing was
    sent.

    With `at` (aware) or `delay`, up to a year ahead, it is published then, by the database's clock:
    the id is that of the `ScheduledEvent`, which the event will have as `source_id`. While it
    waits, publishing its type with the same company and key again moves it and replaces what it
    says; `cancel_scheduled` takes it back.

    `event` is an instance of a model declared with `@event`, or a declared type's name with its
    payload. A company of None is the platform's own event, seen by platform subscriptions only.
    Correlation and depth are the transaction's own (`counterpoint.correlation_id`,
    `counterpoint.depth`) unless given.

    Raises UnknownEventType, pydantic's ValidationError if the payload breaks its contract, and
    CannotSchedule.
    """
    declared, content = declared_event(event, payload)
    if at is not None or delay is not None:
        return scheduled.schedule(
            declared.name,
            declared.version,
            content.model_dump_json(by_alias=True),
            moment=Moment(at=at, delay=delay),
            company=company,
            key=key,
            correlation_id=correlation_id,
            depth=depth,
        )
    return insert(
        declared.name,
        declared.version,
        content.model_dump_json(by_alias=True),
        company=company,
        key=key,
        correlation_id=correlation_id,
        depth=depth,
    )


def declared_event(
    event: BaseModel | str, payload: Mapping[str, Any] | None
) -> tuple[EventType, BaseModel]:
    """Return the type and the checked content of what `publish` takes; raises as it does."""
    if isinstance(event, str):
        declared = type_named(event)
        return declared, declared.model.model_validate(payload or {})
    if payload is not None:
        raise TypeError("publish() takes a payload only with a type's name")
    return type_of(type(event)), event


def insert(
    event_type: str,
    version: int | None,
    payload_text: str,
    *,
    company: str | None,
    key: str | None,
    correlation_id: str | None,
    depth: int | None,
    run_id: UUID | None = None,
) -> UUID:
    """Insert an event whose payload has been checked, from code or from a run; return its id."""
    source = ["code", None] if run_id is None else ["run", str(run_id)]
    with connection.cursor() as cursor:
        cursor.execute(
            INSERT,
            [*source, company, event_type, version, payload_text, key, correlation_id, depth],
        )
        row = cursor.fetchone()
    event_id: UUID = row[0]
    return event_id
