"""A message as SQS handed it out."""

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Message:
    """`handle` is that of this receipt; `attributes` is JSON data of SQS's and of the sender's."""

    queue: str
    id: str
    handle: str
    body: str
    sender: str
    sent_at: datetime
    receive_count: int
    attributes: dict[str, Any]

    @property
    def body_bytes(self) -> bytes:
        """Return the body as it was sent: half of a surrogate pair, which no text can hold, too."""
        return self.body.encode("utf-8", "surrogatepass")


def received(found: dict[str, Any], *, queue: str) -> Message:
    """Return one entry of `ReceiveMessage`'s answer, asked for with all attributes."""
    system = found.get("Attributes", {})
    return Message(
        queue=queue,
        id=found["MessageId"],
        handle=found["ReceiptHandle"],
        body=found.get("Body", ""),
        sender=system.get("SenderId", ""),
        sent_at=datetime.fromtimestamp(int(system.get("SentTimestamp", 0)) / 1000, tz=UTC),
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        attributes={
            "system": system,
            "message": {
                name: _plain(value) for name, value in found.get("MessageAttributes", {}).items()
            },
        },
    )


def _plain(attribute: dict[str, Any]) -> dict[str, str]:
    """Return a message attribute as JSON can hold it: bytes in base64."""
    plain = {"type": attribute.get("DataType", "")}
    if "BinaryValue" in attribute:
        plain["base64"] = b64encode(attribute["BinaryValue"]).decode()
    else:
        plain["value"] = attribute.get("StringValue", "")
    return plain
