"""Deliveries from claim to outcome, and the sweep over those that nobody came for.

A worker claims a chunk in one guarded statement, which counts the attempt; the attempt's number is
the fencing token that its outcome must still find. Retry times are kept here, never in a message.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.conf import settings
from django.db import connection, transaction

from subscriptions import backoff, handing
from subscriptions.cursor import COLUMNS
from subscriptions.envelope import Envelope
from subscriptions.errors import InvalidSubscription, UnknownHandlerType
from subscriptions.handing import Waiting
from subscriptions.handlers.contract import Handler, Item, Outcome, handler_named
from subscriptions.loading import load
from subscriptions.models import Delivery, DeliveryAttempt, Subscription
from subscriptions.secrets import adopt_secret
from subscriptions.validation import parse_config

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=2)
FLUSH_AFTER = timedelta(seconds=1)

CLAIM = f"""
WITH claimed AS (
    UPDATE event_system_delivery d
    SET status = 'running', attempts = d.attempts + 1, due_at = clock_timestamp() +
    make_interval(secs => %s) WHERE d.id = ANY (%s) AND d.status = 'pending' RETURNING d.id,
    d.event_seq, d.event_at, d.subscription_id, d.handler_type, d.attempts,
        d.generation
)
SELECT c.id, c.subscription_id, c.handler_type, c.attempts, c.generation, {COLUMNS}
FROM claimed c
LEFT JOIN event_system_event e ON e.seq = c.event_seq AND e.recorded_at = c.event_at
ORDER BY c.id
"""  # noqa: S608 - constants

# Guarded by the attempt's number: who lost the lease records the try, but decides nothing.
RECORD = """
UPDATE event_system_delivery d
SET status = o.status, error = o.error,
    due_at = CASE o.status WHEN 'retrying' THEN clock_timestamp() + o.delay END,
    finished_at = CASE o.status WHEN 'retrying' THEN NULL ELSE clock_timestamp() END
FROM unnest(%s::bigint[], %s::integer[], %s::text[], %s::text[], %s::interval[])
    AS o (id, attempt, status, error, delay)
WHERE d.id = o.id AND d.status = 'running' AND d.attempts = o.attempt
"""

INSERT_ATTEMPTS = """
INSERT INTO event_system_delivery_attempt
    (delivery_id, generation, number, status, started_at, duration, status_code, response, error)
SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::text[], %s::timestamptz[],
    %s::interval[], %s::integer[], %s::text[], %s::text[])
"""

# The three cases look the same from here: a message that was lost, a retry whose time has come, a
# worker that died. All are sent; the claim decides who acts.
DUE = """
UPDATE event_system_delivery d
SET status = 'pending', due_at = clock_timestamp() + make_interval(secs => %s)
FROM (
    SELECT id, event_at FROM event_system_delivery
    WHERE status IN ('pending', 'running', 'retrying')
        AND due_at <= COALESCE(%s, now())
    ORDER BY due_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE d.id = due.id AND d.event_at = due.event_at
RETURNING d.id, d.handler_type, d.subscription_id
"""


@dataclass(frozen=True)
class Claim:
    """A delivery that this worker holds until its lease ends."""

    id: int
    subscription_id: int
    handler_type: str
    attempt: int
    generation: int
    event: Envelope | None


@dataclass(frozen=True)
class Verdict:
    """What becomes of a claimed delivery."""

    claim: Claim
    status: Delivery.Status
    error: str = ""
    delay: timedelta = timedelta()


def claim(delivery_ids: Sequence[int], *, lease: timedelta = LEASE) -> list[Claim]:
    """Take those of the deliveries that wait, and load their events. One statement."""
    with connection.cursor() as rows:
        rows.execute(CLAIM, [lease.total_seconds(), list(delivery_ids)])
        return [
            Claim(
                id=row[0],
                subscription_id=row[1],
                handler_type=row[2],
                attempt=row[3],
                generation=row[4],
                event=Envelope(*row[5:]) if row[5] is not None else None,
            )
            for row in rows.fetchall()
        ]


def deliver(delivery_ids: Sequence[int]) -> int:
    """Make one try for each delivery that waits; return how many were delivered.

    Ids of deliveries that somebody else has, or that are done, are passed over: messages may come
    twice.
    """
    claims = claim(delivery_ids)
    if not claims:
        return 0
    rows = Subscription.objects.filter(pk__in={held.subscription_id for held in claims})
    found, unreadable = load(rows)
    subscriptions = {subscription.pk: subscription for subscription in found}
    refused: list[Verdict] = []
    items: defaultdict[str, list[tuple[Claim, Item]]] = defaultdict(list)
    for held in claims:
        ready: Item | Verdict
        if reason := unreadable.get(held.subscription_id):
            ready = Verdict(held, Delivery.Status.DEAD, f"the subscription is invalid: {reason}")
        else:
            ready = _prepare(held, subscriptions.get(held.subscription_id))
        if isinstance(ready, Verdict):
            refused.append(ready)
        else:
            items[held.handler_type].append((held, ready))
    _record(refused, [])
    delivered = 0
    for handler_type, pairs in items.items():
        delivered += _run(handler_named(handler_type), pairs, subscriptions)
    return delivered


def _prepare(held: Claim, subscription: Subscription | None) -> Item | Verdict:
    """Return what the handler gets, or why this delivery is not made now."""
    if subscription is None or not subscription.active:
        return Verdict(held, Delivery.Status.CANCELED, "the subscription is gone or inactive")
    if subscription.paused_at is not None:
        return Verdict(held, Delivery.Status.HELD)
    if held.event is None:
        return Verdict(held, Delivery.Status.DEAD, "the event has left the outbox")
    if held.attempt > subscription.attempts:
        return Verdict(
            held, Delivery.Status.DEAD, "no outcome within the lease, and no attempt left"
        )
    try:
        handler = handler_named(held.handler_type)
        config = parse_config(handler, subscription.config)
        backoff.parse(subscription.backoff)
    except (InvalidSubscription, UnknownHandlerType, ValueError) as error:
        return Verdict(held, Delivery.Status.DEAD, f"the subscription is invalid: {error}")
    secret: str | None = None
    if handler.has_secret:
        secret = subscription.secret
        if not secret or "secret" in subscription.config:
            secret = adopt_secret(subscription.pk)
    return Item(
        delivery_id=held.id,
        attempt=held.attempt,
        event=held.event,
        subscription_id=subscription.pk,
        company=subscription.company,
        config=config,
        secret=secret,
    )


def _run(
    handler: Handler, pairs: Sequence[tuple[Claim, Item]], subscriptions: dict[int, Subscription]
) -> int:
    """Let the handler deliver and record outcomes as they come, about once a second."""
    waiting = {item.delivery_id: (held, item) for held, item in pairs}
    collected: list[tuple[Claim, Outcome]] = []
    began = flushed_at = datetime.now(tz=UTC)
    delivered = 0
    error = "the handler said nothing about this delivery"
    try:
        for outcome in handler.deliver([item for _, item in pairs]):
            held, _ = waiting.pop(outcome.delivery_id)
            collected.append((held, outcome))
            if datetime.now(tz=UTC) - flushed_at >= FLUSH_AFTER:
                delivered += _conclude(collected, subscriptions, began)
                collected, flushed_at = [], datetime.now(tz=UTC)
    except Exception as caught:
        # Whatever a handler does is an outcome of its deliveries, recorded below.
        log.exception("handler_failed", handler_type=handler.name)
        error = f"{type(caught).__name__}: {caught}"[:2000]
    collected += ((held, Outcome.failed(item, error)) for held, item in waiting.values())
    return delivered + _conclude(collected, subscriptions, began)


def _conclude(
    collected: Sequence[tuple[Claim, Outcome]],
    subscriptions: dict[int, Subscription],
    began: datetime,
) -> int:
    verdicts = [
        _verdict(held, outcome, subscriptions[held.subscription_id]) for held, outcome in collected
    ]
    ended = datetime.now(tz=UTC)
    _record(
        verdicts,
        [
            DeliveryAttempt(
                delivery_id=held.id,
                generation=held.generation,
                number=held.attempt,
                status=DeliveryAttempt.Status.DELIVERED
                if outcome.is_delivered
                else DeliveryAttempt.Status.FAILED,
                started_at=began if outcome.duration is None else ended - outcome.duration,
                duration=ended - began if outcome.duration is None else outcome.duration,
                status_code=outcome.status_code,
                response=_text(outcome.response),
                error=_text(outcome.error),
            )
            for held, outcome in collected
        ],
    )
    for held, outcome in collected:
        if outcome.gone:  # 410: the receiver wants nothing any more
            Subscription.objects.filter(pk=held.subscription_id, active=True).update(active=False)
            log.warning("subscription_disabled", subscription=held.subscription_id)
    return sum(outcome.is_delivered for _, outcome in collected)


def _text(value: str) -> str:
    """Return what a text column takes: no NUL, no half of a surrogate pair."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _verdict(held: Claim, outcome: Outcome, subscription: Subscription) -> Verdict:
    if outcome.is_delivered:
        return Verdict(held, Delivery.Status.DELIVERED)
    error = _text(outcome.error)
    if outcome.permanent or outcome.gone or held.attempt >= subscription.attempts:
        return Verdict(held, Delivery.Status.DEAD, error)
    delay = backoff.parse(subscription.backoff).delay(held.attempt)
    if outcome.retry_after is not None:
        delay = max(delay, outcome.retry_after)
    return Verdict(held, Delivery.Status.RETRYING, error, delay)


def _record(verdicts: Sequence[Verdict], attempts: Sequence[DeliveryAttempt]) -> None:
    """Write outcomes and attempts in one transaction of two statements."""
    if not verdicts:
        return
    with transaction.atomic(), connection.cursor() as rows:
        rows.execute(
            RECORD,
            [
                [verdict.claim.id for verdict in verdicts],
                [verdict.claim.attempt for verdict in verdicts],
                [verdict.status for verdict in verdicts],
                [verdict.error for verdict in verdicts],
                [verdict.delay for verdict in verdicts],
            ],
        )
        if rows.rowcount < len(verdicts):
            log.warning("deliveries_lost_lease", count=len(verdicts) - rows.rowcount)
        if attempts:
            rows.execute(
                INSERT_ATTEMPTS,
                [
                    [attempt.delivery_id for attempt in attempts],
                    [attempt.generation for attempt in attempts],
                    [attempt.number for attempt in attempts],
                    [attempt.status for attempt in attempts],
                    [attempt.started_at for attempt in attempts],
                    [attempt.duration for attempt in attempts],
                    [attempt.status_code for attempt in attempts],
                    [attempt.response for attempt in attempts],
                    [attempt.error for attempt in attempts],
                ],
            )


def sweep(*, now: datetime | None = None, limit: int = 1000) -> int:
    """Send what is due again; return how many deliveries that were. `now` is for tests."""
    with connection.cursor() as rows:
        rows.execute(DUE, [settings.DELIVERY_RESEND_AFTER.total_seconds(), now, limit])
        due = [Waiting(*row) for row in rows.fetchall()]
    handing.send(due)
    return len(due)
