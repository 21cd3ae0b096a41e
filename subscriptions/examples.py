"""An example of what a subscription gets, and the sending of it: the test button's work.

It goes through the real handler, by the same rules as a worker's delivery, and leaves no row.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from uuid import uuid4

import structlog
from django.db import connection

from subscriptions.contracts import known_types, type_named
from subscriptions.cursor import READABLE_COLUMNS
from subscriptions.envelope import Envelope
from subscriptions.errors import UnknownSubscription
from subscriptions.explanations import envelope, try_filter
from subscriptions.handlers.contract import Handler, Item, Outcome, Preview, handler_named
from subscriptions.matching import is_glob
from subscriptions.models import Delivery, Operation, Subscription
from subscriptions.samples import fitting, sample, sample_of_schema
from subscriptions.secrets import adopt_secret, previous
from subscriptions.statements import fetch
from subscriptions.validation import parse_config

log = structlog.get_logger(__name__)

_COLUMNS = """
SELECT a.attname, t.typname, t.typcategory::text, a.attname = ANY (w.key_columns),
    COALESCE(a.attname = w.company, false)
FROM event_system_watch w
JOIN pg_attribute a ON a.attrelid = w.relation AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
WHERE w."table" = %s AND a.attname <> ALL (w.exclude) AND a.attgenerated <> 'v' ORDER BY a.attnum
"""

MOST_SHOWN = 100_000  # bytes as stored
_SMALL = f"""
SELECT {READABLE_COLUMNS} FROM event_system_event e
WHERE e.seq = ANY (%(seqs)s::bigint[])
    AND COALESCE(pg_column_size(e.payload), 0) + COALESCE(pg_column_size(e.new), 0)
        + COALESCE(pg_column_size(e.old), 0) <= %(most)s
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Example:
    """An event with an id of its own; `is_real` says that its data is a past event's."""

    event: Envelope
    is_real: bool


@dataclass(frozen=True)
class Sent:
    example: Example
    preview: Preview
    outcome: Outcome


def example(subscription: Subscription) -> Example:
    """Return the newest past event that it would get, else one made up from the table's columns or
    the type's model. Looks at 10,000 events at most; raises InvalidSubscription.
    """
    past = try_filter(subscription, enough=1).shown
    if past:
        return Example(replace(past[0], id=uuid4()), True)
    return Example(_made_up(subscription), False)


def preview(subscription: Subscription, shown: Envelope) -> Preview:
    """Return what a delivery of the event does now, as people are shown it.

    Raises InvalidSubscription or UnknownHandlerType.
    """
    return _told(handler_named(subscription.handler_type), _item(subscription, shown))


def of_delivery(delivery: Delivery) -> Preview:
    """Return what its subscription, as it is now, makes of the delivery's event. Two queries.

    Raises InvalidSubscription, UnknownEvent, UnknownHandlerType or UnknownSubscription.
    """
    subscription = Subscription.objects.filter(pk=delivery.subscription_id).first()
    if subscription is None:
        raise UnknownSubscription(delivery.subscription_id)
    return preview(subscription, envelope(delivery.event_uuid))


def of_deliveries(subscription: Subscription, deliveries: Iterable[Delivery]) -> dict[int, Preview]:
    """Return what the subscription, as it is now, makes of deliveries' events, by delivery. One
    query. Those whose event has left the outbox, or is larger than 100 kB, are left out.

    Raises InvalidSubscription or UnknownHandlerType.
    """
    by_seq = {delivery.event_id: delivery.pk for delivery in deliveries}
    given = {"seqs": list(by_seq), "most": MOST_SHOWN}
    events = [Envelope(*row) for row in fetch(_SMALL, given)]
    return {by_seq[event.seq]: preview(subscription, event) for event in events}


def send(subscription: Subscription) -> Sent:
    """Send an example, once. May take as long as the handler: 15 seconds for HTTP.

    Raises InvalidSubscription or UnknownHandlerType.
    """
    handler = handler_named(subscription.handler_type)
    chosen = example(subscription)
    item = _item(subscription, chosen.event)
    told = _told(handler, item)
    if handler.has_secret:
        item = replace(
            item, secret=adopt_secret(subscription.pk), previous_secret=previous(subscription)
        )
    began = datetime.now(tz=UTC)
    try:
        outcome = next(iter(handler.deliver([item])), None) or Outcome.failed(
            item, "the handler said nothing"
        )
    except Exception as error:
        # As for a delivery: whatever a handler does is an outcome, without the error's own text,
        # which may hold what must not be shown.
        log.exception("example_failed", subscription=subscription.pk)
        outcome = Outcome.failed(item, type(error).__name__)
    if outcome.duration is None:
        outcome = replace(outcome, duration=datetime.now(tz=UTC) - began)
    return Sent(chosen, told, outcome)


def _told(handler: Handler, item: Item) -> Preview:
    try:
        return handler.preview(item)
    except Exception as error:  # an event or a config that a handler stumbles over
        log.exception("example_not_shown", subscription=item.subscription_id)
        return Preview(f"The request cannot be shown: {type(error).__name__}")


def _item(subscription: Subscription, event: Envelope) -> Item:
    return Item(
        delivery_id=0,
        attempt=1,
        event=event,
        subscription_id=subscription.pk,
        company=subscription.company,
        config=parse_config(handler_named(subscription.handler_type), subscription.config),
    )


def _made_up(subscription: Subscription) -> Envelope:
    now = datetime.now(tz=UTC)
    is_row = subscription.table is not None
    members: dict[str, Any] = {
        **dict.fromkeys(field.name for field in fields(Envelope)),
        "seq": 0,
        "id": uuid4(),
        "recorded_at": now,
        "timestamp": now,
        "source": "example",
        "company": subscription.company or "example",
        "depth": 0,
        **(_row(subscription) if is_row else _typed(subscription)),
    }
    return Envelope(**members)


def _row(subscription: Subscription) -> dict[str, Any]:
    table, operation = subscription.table or "", subscription.operations[0]
    if operation == Operation.TRUNCATE:
        return {"table": table, "operation": operation}
    row, key = {}, {}
    for name, kind, category, is_key, is_company in _columns(table):
        is_ours = is_company and subscription.company is not None
        row[name] = subscription.company if is_ours else sample(kind, category)
        if is_key:
            key[name] = row[name]
    row = {**row, **fitting(subscription.filter)}
    record_id = str(next(iter(key.values()))) if len(key) == 1 else key
    text = json.dumps(row)
    return {
        "table": table,
        "operation": operation,
        "record_id_text": json.dumps(record_id) if key else None,
        "new_text": None if operation == Operation.DELETE else text,
        "old_text": None if operation == Operation.INSERT else text,
    }


def _columns(table: str) -> Iterator[tuple[str, str, str, bool, bool]]:
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, [table])
        yield from cursor.fetchall()


def _typed(subscription: Subscription) -> dict[str, Any]:
    wanted = subscription.event_type or ""
    if is_glob(wanted):
        wanted = next((name for name in known_types() if fnmatchcase(name, wanted)), wanted)
    declared = type_named(wanted)
    payload: Mapping[str, Any] = sample_of_schema(declared.model.model_json_schema())
    payload = {**payload, **fitting(subscription.filter)}
    return {"type": wanted, "version": declared.version, "payload_text": json.dumps(payload)}
