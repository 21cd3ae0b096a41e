"""Events as CloudEvents 1.0, structured JSON (https://cloudevents.io)."""

import json

from subscriptions.envelope import Envelope

CONTENT_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"


def body(event: Envelope) -> str:
    """Return the event as JSON. Of a row, `type` is table and operation (`sales_order.insert`),
    `subject` its key, `data` the row before and after; of a typed event, `data` is the payload.

    The company and what the event belongs to are extension attributes.
    """
    if event.type is not None:
        kind, subject, data = event.type, event.key, event.payload_text or "null"
    else:
        kind = f"{event.table}.{(event.operation or '').lower()}"
        subject = event.record_id_text
        data = event.body()
    attributes = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": f"/{event.source}",
        "type": kind,
        "time": event.moment,
        "datacontenttype": "application/json",
        "subject": _text(subject),
        "companyid": event.company,
        "correlationid": event.correlation_id,
    }
    members = {name: json.dumps(value) for name, value in attributes.items() if value is not None}
    members["data"] = data
    return "{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}"


def _text(subject: str | None) -> str | None:
    """Return a key without the quotes of JSON; one of several columns stays JSON."""
    if subject is None or not subject.startswith('"'):
        return subject
    return str(json.loads(subject))
