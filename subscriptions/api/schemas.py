"""What the API returns. Secrets and the values of headers are in none of it."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Field, Schema
from pydantic import JsonValue

from jobs.api.runs import MAX_ID
from jobs.api.schemas import Name
from subscriptions.api.bodies import OperationName
from subscriptions.documents import UNREADABLE, plain
from subscriptions.envelope import Envelope
from subscriptions.examples import Sent
from subscriptions.explanations import Explanation
from subscriptions.filters import check_depth
from subscriptions.handlers.configs import secret_keys, visible
from subscriptions.handlers.contract import Preview, registered
from subscriptions.models import Delivery, DeliveryAttempt, Gate, Subscription
from subscriptions.recent import Rate
from subscriptions.sealing import masked


class SubscriptionOut(Schema):
    """A subscription; `hidden` names what of its config is set and never shown: keys, and of
    headers each by its name, such as headers.Authorization.
    """

    id: int
    name: str
    table: str | None
    event_type: str | None
    operations: list[str]
    filter: dict[str, JsonValue]
    handler_type: str
    config: dict[str, JsonValue]
    hidden: list[str]
    active: bool
    paused_at: datetime | None
    ordering: str
    max_rate: int | None
    attempts: int
    backoff: JsonValue
    batch_size: int
    debounce: float | None = Field(description="seconds")
    owner: str | None
    disabled_reason: str | None
    invalid_reason: str | None
    created_at: datetime
    updated_at: datetime

    @staticmethod
    def resolve_config(row: Subscription) -> dict[str, Any]:
        handler = registered().get(row.handler_type)
        return {} if handler is None else visible(handler, row.config)

    @staticmethod
    def resolve_hidden(row: Subscription) -> list[str]:
        handler = registered().get(row.handler_type)
        if handler is None:
            return sorted(row.config)
        named = masked(handler, row.config)
        return [
            f"{key}.{name}" if name else key
            for key in sorted(set(row.config) & secret_keys(handler))
            for name in named.get(key) or [""]
        ]

    @staticmethod
    def resolve_debounce(row: Subscription) -> float | None:
        return None if row.debounce is None else row.debounce.total_seconds()


class BreakerOut(Schema):
    """Failures in a row; while open, nothing is sent but a probe."""

    failures: int
    open_until: datetime | None


class RateOut(Schema):
    """Deliveries of the last 24 hours, the newest 10,000 of them at most."""

    delivered: int
    failed: int
    open: int
    percent: float | None


class SubscriptionDetails(SubscriptionOut):
    """A subscription with how it has been doing."""

    breaker: BreakerOut
    last_day: RateOut


def details(row: Subscription, gate: Gate | None, rate: Rate) -> Subscription:
    """Return the subscription with its breaker and rate, as `SubscriptionDetails` reads it."""
    shut = gate or Gate(failures=0)
    vars(row)["breaker"] = {"failures": shut.failures, "open_until": shut.open_until}
    vars(row)["last_day"] = {**asdict(rate), "percent": rate.percent}
    return row


class EventShown(Schema):
    """An event; `body` is the JSON that a receiver gets."""

    id: UUID
    timestamp: datetime
    body: str

    @staticmethod
    def resolve_body(event: Envelope) -> str:
        return event.body()


class TryIn(Schema):
    """What a subscription would ask for; it need not be saved."""

    table: Name | None = None
    event_type: Name | None = None
    operations: list[OperationName] = Field(["INSERT", "UPDATE", "DELETE"], min_length=1)
    filter: dict[str, JsonValue] = {}
    since: datetime | None = None


class TrialOut(Schema):
    """Of `examined` past events, the newest 10,000 at most, `matched`; the newest are `shown`."""

    examined: int
    matched: int
    shown: list[EventShown]
    unreadable: int = Field(description="of those: their numbers or depth no filter can examine")
    looked_at: int = Field(description="events of every kind that were passed to find them")
    back_to: datetime | None = Field(description="when the last of those was recorded")
    is_whole: bool = Field(description="false: there are older ones; the time or space ran out")


class ReasonOut(Schema):
    asks: str
    wanted: Any
    found: Any
    is_met: bool


class ExplanationOut(Schema):
    """Every reason for a match or a miss; `notes` tell what else keeps it from being delivered."""

    matches: bool
    reasons: list[ReasonOut]
    notes: list[str]

    @staticmethod
    def of(explanation: Explanation) -> dict[str, Any]:
        return {
            "matches": explanation.matches,
            "reasons": [
                {**asdict(one), "wanted": _shown(one.wanted), "found": _shown(one.found)}
                for one in explanation.reasons
            ],
            "notes": explanation.notes,
        }


class RequestOut(Schema):
    """What a delivery does or did: the values of headers that were set are left out."""

    title: str
    headers: dict[str, str]
    body: str

    @staticmethod
    def of(preview: Preview) -> dict[str, Any]:
        return {**asdict(preview), "headers": dict(preview.headers)}


class TestOut(Schema):
    """What the test sent, and what was answered."""

    is_real: bool = Field(description="whether the data is a past event's")
    request: RequestOut
    delivered: bool
    status_code: int | None
    response: str
    error: str
    milliseconds: float

    @staticmethod
    def of(sent: Sent) -> dict[str, Any]:
        outcome = sent.outcome
        took = outcome.duration.total_seconds() if outcome.duration else 0.0
        return {
            "is_real": sent.example.is_real,
            "request": RequestOut.of(sent.preview),
            "delivered": outcome.is_delivered,
            "status_code": outcome.status_code,
            "response": outcome.response,
            "error": outcome.error,
            "milliseconds": round(1000 * took, 1),
        }


class DeliveryOut(Schema):
    """An event on its way to a subscription."""

    id: int
    subscription_id: int
    event_id: UUID = Field(alias="event_uuid")
    status: str
    attempts: int
    generation: int
    due_at: datetime | None
    error: str
    created_at: datetime
    finished_at: datetime | None


class AttemptOut(Schema):
    """One try."""

    generation: int
    number: int
    status: str
    started_at: datetime
    milliseconds: float
    status_code: int | None
    response: str
    error: str

    @staticmethod
    def resolve_milliseconds(row: DeliveryAttempt) -> float:
        return round(1000 * row.duration.total_seconds(), 1)


class DeliveryDetails(DeliveryOut):
    """A delivery with its tries, and the request as it would be made now."""

    tries: list[AttemptOut]
    request: RequestOut | None


class HandlerTypeOut(Schema):
    """A handler type and the JSON Schema of its config."""

    name: str
    description: str
    has_secret: bool
    config_schema: dict[str, Any]


DeliveryId = Annotated[int, Field(ge=1, le=MAX_ID)]


class ReplayIn(Schema):
    """What to send again: what failed, unless more is asked for."""

    delivery_ids: list[DeliveryId] | None = Field(None, max_length=1000)
    since: datetime | None = None
    until: datetime | None = None
    filter: dict[str, JsonValue] | None = None
    missed: bool = Field(False, description="events that match and have no delivery, too")
    again: bool = Field(False, description="what was delivered, too")
    dry_run: bool = False


class ReplayOut(Schema):
    again: int
    missed: int
    lost: int = Field(description="of those asked for by id: they cannot be sent again")
    sample: list[int]
    looked_at: int = Field(description="events of every kind that were passed to find missed ones")
    up_to: datetime | None = Field(description="when the last of those was recorded")
    is_whole: bool = Field(description="false: the time ran out; go on with `since` as `up_to`")


class SecretOut(Schema):
    """The signing secret: kept encrypted, and not shown again."""

    secret: str


class Paused(Schema):
    changed: bool = Field(description="false: it was paused before")


class Resumed(Schema):
    released: int = Field(description="held deliveries that were let go")


def _shown(value: Any) -> Any:
    """Return a value as JSON can hold it; of one that is too deep or too large a number, words."""
    try:
        check_depth(value)
        return plain(value)
    except UNREADABLE as error:
        return f"cannot be shown: {type(error).__name__}"


def delivery_details(row: Delivery, request: Preview | None) -> dict[str, Any]:
    """Return a delivery with its tries. One query."""
    return {
        **DeliveryOut.from_orm(row).model_dump(),
        "event_uuid": row.event_uuid,
        "tries": list(row.tries.order_by("id")),
        "request": None if request is None else RequestOut.of(request),
    }
