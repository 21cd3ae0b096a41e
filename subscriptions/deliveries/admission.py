"""Whether a delivery that waits is made now: by its subscription, its record, its breaker and rate.

Pure: what must be asked of the database was asked before (`subscriptions.deliveries.claiming`).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from subscriptions.handlers.contract import Handler, HandlerConfig
from subscriptions.models import Delivery, Subscription

Status = Delivery.Status

# Waiting deliveries are called by those they wait for; this is when the sweep looks for itself.
NET = timedelta(minutes=1)
# The same for what has no room, which the worker calls that found none: there may be much of it.
ROOM_NET = timedelta(minutes=5)
NO_ROOM = "the receiver is slow: waits for its earlier deliveries"


@dataclass(frozen=True)
class Candidate:
    """A pending delivery and what surrounds it, as one query saw them.

    `is_behind`: an earlier delivery of its record is open, `is_behind_running`: one is being made,
    `is_overtaken`: a later one is open. `is_shut`: the breaker is open and this is not its probe.
    """

    id: int
    event_seq: int
    subscription_id: int
    handler_type: str
    attempts: int
    record_key: str | None
    batch_id: int | None
    slot_at: datetime | None
    is_behind: bool
    is_behind_running: bool
    is_overtaken: bool
    is_shut: bool
    may_probe: bool


@dataclass(frozen=True)
class Ruled:
    """What becomes of a delivery that is not made now. `delay` is when the sweep looks again."""

    id: int
    status: Status
    error: str = ""
    delay: timedelta | None = None
    slot_at: datetime | None = None


@dataclass(frozen=True)
class Definition:
    """A subscription as delivery reads it; `problem` says why it cannot be used."""

    subscription: Subscription
    handler: Handler | None = None
    config: HandlerConfig | None = None
    problem: str = ""

    @property
    def replaces(self) -> bool:
        """Whether the latest event of a record stands for those before it."""
        handler = self.handler
        return bool(self.subscription.debounce) or (handler is not None and handler.collapses)


def rule_out(candidate: Candidate, definition: Definition | str | None) -> Ruled | None:
    """Return why the delivery is not made now; None if only breaker, rate and room are left to ask.

    `definition` is a text if the subscription cannot be read, None if it is gone.
    """
    if definition is None or (
        isinstance(definition, Definition) and not definition.subscription.active
    ):
        return Ruled(candidate.id, Status.CANCELED, "the subscription is gone or inactive")
    if isinstance(definition, str):
        return Ruled(candidate.id, Status.DEAD, f"the subscription is invalid: {definition}")
    if definition.subscription.paused_at is not None:
        return Ruled(candidate.id, Status.HELD)
    if definition.problem:
        return Ruled(
            candidate.id, Status.DEAD, f"the subscription is invalid: {definition.problem}"
        )
    if candidate.attempts >= definition.subscription.tries:
        return Ruled(candidate.id, Status.DEAD, "no outcome within the lease, and no attempt left")
    return _by_record(candidate, definition)


def _by_record(candidate: Candidate, definition: Definition) -> Ruled | None:
    if definition.replaces:
        if candidate.is_overtaken:
            return Ruled(
                candidate.id, Status.SUPERSEDED, "a later event of the record took its place"
            )
        is_behind = candidate.is_behind_running
    else:
        is_behind = candidate.is_behind
    if is_behind:
        return Ruled(candidate.id, Status.WAITING, "waits for an earlier event of its record", NET)
    return None
