"""From a message's body to what the outbox takes, for each of the three envelopes that are taken.

The short contract (`type`, `payload`, `timestamp`), CloudEvents 1.0 in structured JSON
(https://github.com/cloudevents/spec) and EventBridge's (`detail-type`, `detail`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from subscriptions import contracts
from subscriptions.errors import (
    BrokenContract,
    RefusedMessage,
    UnknownEventType,
    UnknownEventVersion,
)
from subscriptions.ingest import companies, strict_json
from subscriptions.ingest.companies import Companies
from subscriptions.ingest.message import Message
from subscriptions.ingest.reasons import Reason
from subscriptions.ingest.strict_json import Member

SOURCE = "sqs"
LONGEST = 256  # characters of an id, a type and a source: together they go into an index
LONGEST_KEY = 1000
EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LARGEST_NUMBER = 2**31 - 1
ABSENT = Member(None, "null")


@dataclass(frozen=True)
class Shape:
    """The names under which an envelope holds what an event needs; None: it has no such member."""

    type: str
    payload: str
    timestamp: str
    id: str = "id"
    source: str | None = None
    version: str | None = None
    company: str | None = None
    key: str | None = None
    correlation_id: str | None = None
    attempts: str | None = None


SHORT = Shape(
    type="type",
    payload="payload",
    timestamp="timestamp",
    version="version",
    company="companyId",
    key="key",
    correlation_id="correlationId",
    attempts="attempts",
)
CLOUD_EVENT = Shape(
    type="type",
    payload="data",
    timestamp="time",
    source="source",
    version="version",
    company="companyid",
    key="subject",
    correlation_id="correlationid",
)
# Its own `version` is that of the envelope.
EVENT_BRIDGE = Shape(type="detail-type", payload="detail", timestamp="time", source="source")


@dataclass(slots=True)
class Sketch:
    """What is known of a message so far; where reading it ends early, its dead letter's fields."""

    source: str
    source_id: str
    company: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event as it goes into the outbox; `attempts` is the producer's own figure."""

    message: Message
    company: str
    source: str
    source_id: str
    type: str
    version: int
    payload_text: str
    timestamp: datetime
    key: str | None
    correlation_id: str | None
    attempts: int | None

    @property
    def identity(self) -> tuple[str, str, str]:
        """What makes another message the same event."""
        return self.company, self.source, self.source_id


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that becomes a dead letter."""

    message: Message
    sketch: Sketch
    reason: str
    problem: str


def read(
    message: Message, mapping: Companies, *, source: str = SOURCE, fallback_id: str | None = None
) -> Incoming | Refusal:
    """Return the event that a message is, or why it is none. Raises nothing that a body causes.

    A body without an id has the `fallback_id`, by default the message's.
    """
    sketch = Sketch(source, message.id if fallback_id is None else fallback_id)
    try:
        return _read(message, mapping, sketch)
    except RefusedMessage as error:
        return Refusal(message, sketch, error.reason, error.problem)
    except (UnknownEventType, UnknownEventVersion) as error:
        return Refusal(message, sketch, Reason.UNKNOWN_TYPE, str(error))
    except BrokenContract as error:
        return Refusal(message, sketch, Reason.BROKEN_CONTRACT, str(error))
    except Exception as error:  # a contract's own validator, say: it stops this message only
        problem = f"{type(error).__name__} while it was read"
        return Refusal(message, sketch, Reason.FAILED, problem)


def refused(event: Incoming, problem: str) -> Refusal:
    """Return the dead letter of an event that the database does not take."""
    sketch = Sketch(event.source, event.source_id, event.company, event.type)
    return Refusal(event.message, sketch, Reason.REFUSED_BY_DATABASE, problem)


def _read(message: Message, mapping: Companies, sketch: Sketch) -> Incoming:
    sketch.company = mapped = mapping.mapped(message)
    found = strict_json.members(message.body)
    shape = _shape(found)
    sketch.type = kind = _required_text(found, shape.type)
    _identify(found, shape, sketch)
    payload = _payload(found, shape)
    claims = [_optional(found, shape.company).value, payload.value.get("companyId")]
    claimed = companies.named(claims)
    sketch.company = mapped or claimed
    company = companies.agreed(mapped, claimed)
    version, payload_text = contracts.check(kind, _version(found, shape), payload.text)
    return Incoming(
        message=message,
        company=company,
        source=sketch.source,
        source_id=sketch.source_id,
        type=kind,
        version=version,
        payload_text=payload_text,
        timestamp=_timestamp(found, shape, message.sent_at),
        key=_text(_optional(found, shape.key).value, shape.key, longest=LONGEST_KEY),
        correlation_id=_text(
            _optional(found, shape.correlation_id).value, shape.correlation_id, longest=LONGEST
        ),
        attempts=_attempts(found, shape),
    )


def _shape(found: dict[str, Member]) -> Shape:
    if "specversion" in found:
        version = found["specversion"].value
        if version != "1.0":
            raise RefusedMessage(Reason.BAD_ENVELOPE, "specversion: only CloudEvents 1.0 are taken")
        return CLOUD_EVENT
    return EVENT_BRIDGE if "detail-type" in found else SHORT


def _identify(found: dict[str, Member], shape: Shape, sketch: Sketch) -> None:
    """Take the body's own id; of envelopes with a source, that is what the id is unique in."""
    own = _optional(found, shape.id).value
    if isinstance(own, int) and not isinstance(own, bool):
        own = str(own)
    if shape.source is not None:
        sketch.source = f"{sketch.source}:{_required_text(found, shape.source)}"
        own = _required_text(found, shape.id) if own is None else own
    own = _text(own, shape.id, longest=LONGEST)
    if own is not None:
        sketch.source_id = own


def _payload(found: dict[str, Member], shape: Shape) -> Member:
    if shape is CLOUD_EVENT:
        _check_content(found)
        if shape.payload not in found:
            return Member({}, "{}")
    payload = _optional(found, shape.payload)
    if not isinstance(payload.value, dict):
        raise RefusedMessage(Reason.BAD_ENVELOPE, f"{shape.payload}: an object is needed")
    return payload


def _check_content(found: dict[str, Member]) -> None:
    if "data_base64" in found:
        raise RefusedMessage(Reason.BAD_ENVELOPE, "data_base64: data is taken as JSON only")
    kind = _text(_optional(found, "datacontenttype").value, "datacontenttype", longest=LONGEST)
    media = (kind or "application/json").partition(";")[0].strip().lower()
    if media.rpartition("/")[2] != "json" and not media.endswith("+json"):
        raise RefusedMessage(Reason.BAD_ENVELOPE, "datacontenttype: only JSON is taken")


def _version(found: dict[str, Member], shape: Shape) -> int | None:
    value = _optional(found, shape.version).value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)  # CloudEvents' extension attributes are often text
    if value is not None and (not _is_whole(value) or not 1 <= value <= LARGEST_NUMBER):
        raise RefusedMessage(Reason.BAD_ENVELOPE, f"{shape.version}: a whole number from 1 on")
    return int(value) if value is not None else None


def _attempts(found: dict[str, Member], shape: Shape) -> int | None:
    """Return the producer's figure: kept, not trusted, so what is no figure is no error."""
    value = _optional(found, shape.attempts).value
    return int(value) if _is_whole(value) and 0 <= value <= LARGEST_NUMBER else None


def _timestamp(found: dict[str, Member], shape: Shape, sent_at: datetime) -> datetime:
    """Return when it happened, without a time when it was sent. No offset means UTC."""
    value = _optional(found, shape.timestamp).value
    if value is None:
        return sent_at
    try:
        moment = datetime.fromisoformat(value)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        moment = LATEST
    if not EARLIEST <= moment < LATEST:
        problem = f"{shape.timestamp}: a time as in RFC 3339, such as 2024-04-14T14:00:00Z"
        raise RefusedMessage(Reason.BAD_ENVELOPE, problem)
    return moment


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _optional(found: dict[str, Member], name: str | None) -> Member:
    return ABSENT if name is None else found.get(name, ABSENT)


def _required_text(found: dict[str, Member], name: str) -> str:
    value = _text(_optional(found, name).value, name, longest=LONGEST)
    if value is None:
        raise RefusedMessage(Reason.BAD_ENVELOPE, f"{name}: is missing")
    return value


def _text(value: Any, name: str | None, *, longest: int) -> str | None:
    """Return a text that PostgreSQL can hold, None for none: neither NUL nor half of a pair."""
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
        problem = f"{name}: a text of 1 to {longest} printable characters is needed"
        raise RefusedMessage(Reason.BAD_ENVELOPE, problem)
    return value
