"""One event as matching and handlers see it. The documents stay JSON text until somebody reads
them: numbers reach a receiver exactly as the database wrote them.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any
from uuid import UUID

import structlog

from subscriptions.contracts import bring_forward, is_outdated, version_named
from subscriptions.documents import parse
from subscriptions.operators import ABSENT

log = structlog.get_logger(__name__)

LONGEST_KEY = 200  # characters


@dataclass(frozen=True)
class Envelope:
    """`new`, `old`, `payload` and `record_id` are JSON text; the cached properties parse them.

    A typed event recorded under a version that has an upcaster by now is read as the newer one.
    """

    seq: int
    id: UUID
    recorded_at: datetime
    timestamp: datetime
    source: str
    company: str | None
    type: str | None
    version: int | None
    payload_text: str | None
    table: str | None
    operation: str | None
    record_id_text: str | None
    new_text: str | None
    old_text: str | None
    key: str | None
    correlation_id: str | None
    depth: int

    def __post_init__(self) -> None:
        if (
            self.version is not None
            and self.type is not None
            and is_outdated(self.type, self.version)
        ):
            self._bring_forward(self.type, self.version)

    def _bring_forward(self, name: str, version: int) -> None:
        try:
            newer, text = bring_forward(version_named(name, version), self.payload_text or "null")
        except Exception as error:
            # It was checked when it came: what cannot be brought forward is told as it is.
            log.warning("event_not_upcast", event_id=str(self.id), error=type(error).__name__)
            return
        object.__setattr__(self, "version", newer)
        object.__setattr__(self, "payload_text", text)

    @cached_property
    def new(self) -> Any:
        return parse(self.new_text)

    @cached_property
    def old(self) -> Any:
        return parse(self.old_text)

    @cached_property
    def payload(self) -> Any:
        return parse(self.payload_text)

    @cached_property
    def record_id(self) -> Any:
        """A string, or an object if the key has several columns."""
        return parse(self.record_id_text)

    @property
    def record_key(self) -> str | None:
        """What order and debounce go by: the company, and a row's table and key or a typed event's
        `key`. It goes into an index: of a long one, the beginning and a digest.
        """
        if self.type is not None:
            key = self.key
        else:
            key = None if self.record_id_text is None else f"{self.table}:{self.record_id_text}"
        if key is None:
            return None
        whole = f"{self.company or ''}/{key}"
        if len(whole) <= LONGEST_KEY:
            return whole
        return f"{whole[:LONGEST_KEY]}…{sha256(whole.encode('utf-8', 'surrogatepass')).hexdigest()}"

    @property
    def document(self) -> Any:
        """What filters look at: the payload, or the new row, or the old row of a DELETE."""
        if self.type is not None:
            return self.payload
        return self.new if self.new_text is not None else self.old

    @property
    def before(self) -> Any:
        """The row as it was, ABSENT if there was none."""
        return ABSENT if self.old_text is None else self.old

    @property
    def after(self) -> Any:
        """The row as it is now, ABSENT if there is none."""
        return ABSENT if self.new_text is None else self.new

    @property
    def moment(self) -> str:
        """The timestamp in ISO 8601, UTC, with Z."""
        return self.timestamp.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def body(self) -> str:
        """Return the JSON that receivers get (events.md, "Handlers")."""
        if self.type is not None:
            members = {
                "type": json.dumps(self.type),
                "id": json.dumps(str(self.id)),
                "payload": self.payload_text or "null",
                "timestamp": json.dumps(self.moment),
            }
        else:
            members = {
                "table": json.dumps(self.table),
                "operation": json.dumps(self.operation),
                "recordId": self.record_id_text or "null",
                "new": self.new_text or "null",
                "old": self.old_text or "null",
                "timestamp": json.dumps(self.moment),
            }
        return "{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}"

    def lookup(self, path: str) -> Any:
        """Return what a dotted path such as `new.supplier_id` leads to, None if nowhere."""
        head, _, rest = path.partition(".")
        if head not in PATH_ROOTS:
            return None
        value: Any = str(self.id) if head == "id" else getattr(self, head)
        if head == "timestamp":
            value = self.moment
        for part in rest.split(".") if rest else ():
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value


PATH_ROOTS = frozenset(
    {"id", "type", "version", "company", "source", "payload", "table", "operation", "record_id"}
    | {"new", "old", "timestamp", "key", "correlation_id", "depth"}
)
