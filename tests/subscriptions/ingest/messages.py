"""Messages made by hand, as SQS would hand them out."""

import json
from typing import Any
from uuid import uuid4

from subscriptions.ingest.message import Message, received

PAYLOAD = {
    "appointmentId": "a1",
    "companyId": "acme",
    "startTime": "2024-04-15T14:00:00Z",
}


def make_body(**fields: Any) -> str:
    """Return a good body of the short contract, with these members in place of its own."""
    good = {
        "type": "visit.reminder",
        "payload": PAYLOAD,
        "timestamp": "2024-04-14T14:00:00Z",
        "attempts": 1,
    }
    return json.dumps({**good, **fields})


def make_message(
    body: str | None = None,
    *,
    message_id: str | None = None,
    queue: str = "events",
    sender: str = "AIDAUNKNOWN",
    receive_count: int = 1,
) -> Message:
    entry = {
        "MessageId": message_id or str(uuid4()),
        "ReceiptHandle": "handle",
        "Body": make_body() if body is None else body,
        "Attributes": {
            "SenderId": sender,
            "SentTimestamp": "1713103200000",
            "ApproximateReceiveCount": str(receive_count),
        },
        "MessageAttributes": {
            "trace": {"DataType": "String", "StringValue": "t-1"},
            "seal": {"DataType": "Binary", "BinaryValue": b"\xff\x00"},
        },
    }
    return received(entry, queue=queue)
