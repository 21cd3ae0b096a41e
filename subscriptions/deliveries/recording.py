"""How tries ended, written down: outcomes, attempts, breakers, and who may go next, in one
transaction.

Guarded by generation and attempt: who lost the lease records the try, but decides nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from django.db import DatabaseError, transaction

from subscriptions import backoff
from subscriptions.deliveries import disabling
from subscriptions.deliveries.admission import NET, NO_ROOM, ROOM_NET, Definition, Status
from subscriptions.deliveries.breaker import Breaker
from subscriptions.deliveries.claiming import Claim
from subscriptions.deliveries.record_order import lock_records, promote
from subscriptions.handlers.contract import Outcome
from subscriptions.models import DeliveryAttempt
from subscriptions.statements import execute, fetch_prepared

log = structlog.get_logger(__name__)

RECORD = """
WITH mine AS (
    SELECT d.id, d.event_at, o.status, o.error, o.delay
    FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::text[], %s::text[], %s::interval[])
        AS o (id, generation, attempt, status, error, delay)
    JOIN event_system_delivery d ON d.id = o.id
    WHERE d.status = 'running' AND d.generation = o.generation AND d.attempts = o.attempt
    ORDER BY d.id FOR NO KEY UPDATE OF d
)
UPDATE event_system_delivery d
SET status = mine.status, error = mine.error,
    -- Queued is what was not tried: it does not count, and comes when it is its turn.
    attempts = d.attempts - CASE mine.status WHEN 'queued' THEN 1 ELSE 0 END,
    slot_at = CASE mine.status WHEN 'queued' THEN clock_timestamp() + mine.delay END,
    due_at = CASE WHEN mine.status IN ('retrying', 'queued')
        THEN clock_timestamp() + mine.delay END,
    finished_at = CASE WHEN mine.status IN ('retrying', 'queued')
        THEN NULL ELSE clock_timestamp() END
FROM mine WHERE d.id = mine.id AND d.event_at = mine.event_at
RETURNING d.id
"""

INSERT_ATTEMPTS = """
INSERT INTO event_system_delivery_attempt
    (delivery_id, generation, number, status, started_at, duration, status_code, response, error)
SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::text[], %s::timestamptz[],
    %s::interval[], %s::integer[], %s::text[], %s::text[])
"""

# A worker that has not begun gives its claims back: the try does not count.
GIVE_BACK = """
WITH mine AS (
    SELECT d.id, d.event_at
    FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) AS o (id, generation, attempt)
    JOIN event_system_delivery d ON d.id = o.id
    WHERE d.status = 'running' AND d.generation = o.generation AND d.attempts = o.attempt
    ORDER BY d.id FOR NO KEY UPDATE OF d
)
UPDATE event_system_delivery d
SET status = %s, attempts = d.attempts - 1, error = %s, due_at = clock_timestamp() + %s
FROM mine WHERE d.id = mine.id AND d.event_at = mine.event_at
"""

LOAD_BREAKERS = """
SELECT subscription_id, failures, failing_since, openings, open_until, probe_id, clock_timestamp()
FROM event_system_gate WHERE subscription_id = ANY (%s) ORDER BY subscription_id FOR UPDATE
"""

SAVE_BREAKER = """
INSERT INTO event_system_gate AS g
    (subscription_id, failures, failing_since, openings, open_until, probe_id)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (subscription_id) DO UPDATE SET failures = EXCLUDED.failures,
    failing_since = EXCLUDED.failing_since, openings = EXCLUDED.openings,
    open_until = EXCLUDED.open_until, probe_id = EXCLUDED.probe_id
"""

# Of those whose tries all succeeded. Nothing is written where nothing had failed.
CLOSE_BREAKERS = """
UPDATE event_system_gate
SET failures = 0, failing_since = NULL, openings = 0, open_until = NULL, probe_id = NULL
WHERE subscription_id = ANY (%s) AND (failures > 0 OR open_until IS NOT NULL)
"""


@dataclass(frozen=True)
class Done:
    """One try that has ended; `began` and `ended` are this machine's clock."""

    claim: Claim
    outcome: Outcome
    definition: Definition
    began: datetime
    ended: datetime

    @property
    def is_delivered(self) -> bool:
        return self.outcome.is_delivered

    def verdict(self) -> tuple[Status, str, timedelta]:
        """Return the delivery's new status, its error, and how long it waits for the next try."""
        outcome, subscription = self.outcome, self.definition.subscription
        if outcome.is_delivered:
            return Status.DELIVERED, "", timedelta()
        error = text(outcome.error)
        if outcome.is_postponed:
            return Status.QUEUED, error, outcome.retry_after or NET
        if outcome.permanent or outcome.gone or self.claim.attempt >= subscription.tries:
            return Status.DEAD, error, timedelta()
        delay = backoff.parse(subscription.backoff).delay(self.claim.attempt)
        if outcome.retry_after is not None:
            delay = max(delay, outcome.retry_after)
        return Status.RETRYING, error, delay

    def attempt(self) -> DeliveryAttempt:
        outcome = self.outcome
        duration = self.ended - self.began if outcome.duration is None else outcome.duration
        return DeliveryAttempt(
            delivery_id=self.claim.id,
            generation=self.claim.generation,
            number=self.claim.attempt,
            status=DeliveryAttempt.Status.DELIVERED
            if outcome.is_delivered
            else DeliveryAttempt.Status.FAILED,
            started_at=self.ended - duration,
            duration=duration,
            status_code=outcome.status_code,
            response=text(outcome.response),
            error=text(outcome.error),
        )


def text(value: str) -> str:
    """Return what a text column takes: no NUL, no half of a surrogate pair."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def record(done: Sequence[Done]) -> list[int]:
    """Write down how the tries ended; return the ids that waited for them and may go now."""
    if not done:
        return []
    verdicts = [one.verdict() for one in done]
    known = {one.claim.subscription_id: one.definition for one in done}
    with transaction.atomic():
        lock_records((one.claim.subscription_id, one.claim.record_key) for one in done)
        mine = _record(done, verdicts)
        _insert_attempts([one.attempt() for one in done if not one.outcome.is_postponed])
        counted = [one for one in done if one.claim.id in mine]
        hopeless = _note(counted)
        ended = {
            (one.claim.subscription_id, one.claim.record_key)
            for one, (status, _, _) in zip(done, verdicts, strict=True)
            if one.claim.id in mine
            and one.claim.record_key is not None
            and status not in (Status.RETRYING, Status.QUEUED)
        }
        promoted = promote(ended, known)
    # After the commit: it locks the subscription, whose writers wait for the breaker's row.
    for pk in hopeless:
        _disable(pk, reason="its deliveries have failed for 5 days")
    for one in counted:
        if one.outcome.gone:  # 410: the receiver wants nothing any more
            _disable(one.claim.subscription_id, reason="the receiver answered 410 Gone")
    return promoted


def _disable(subscription_id: int, *, reason: str) -> None:
    """Switch it off if that can be done at once: what was recorded must not be recorded again."""
    try:
        disabling.disable(subscription_id, reason=reason)
    except DatabaseError as error:
        log.warning("subscription_not_disabled", subscription=subscription_id, error=str(error))


def _record(
    done: Sequence[Done], verdicts: Sequence[tuple[Status, str, timedelta]]
) -> frozenset[int]:
    found = fetch_prepared(
        RECORD,
        [
            [one.claim.id for one in done],
            [one.claim.generation for one in done],
            [one.claim.attempt for one in done],
            [status for status, _, _ in verdicts],
            [error for _, error, _ in verdicts],
            [delay for _, _, delay in verdicts],
        ],
    )
    mine = frozenset(pk for (pk,) in found)
    if len(mine) < len(done):
        log.warning("deliveries_lost_lease", count=len(done) - len(mine))
    return mine


def _insert_attempts(attempts: Sequence[DeliveryAttempt]) -> None:
    execute(
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


def _note(done: Sequence[Done]) -> list[int]:
    """Carry the tries into the breakers. What only this event's data caused is no sign of health
    or illness of the receiver. Returns the subscriptions that have failed for too long.
    """
    tried = [one for one in done if not one.outcome.is_postponed]
    telling = [one for one in tried if one.is_delivered or not one.outcome.permanent]
    failing = {one.claim.subscription_id for one in telling if not one.is_delivered}
    well = sorted({one.claim.subscription_id for one in telling} - failing)
    if well:
        execute(CLOSE_BREAKERS, [well])
    return _note_failures(sorted(failing), sorted(telling, key=lambda one: one.ended))


def _note_failures(failing: Sequence[int], telling: Sequence[Done]) -> list[int]:
    if not failing:
        return []
    hopeless = []
    breakers, now = _breakers(failing)
    for pk in failing:
        before = breaker = breakers.get(pk, Breaker())
        for one in telling:
            if one.claim.subscription_id == pk:
                breaker = breaker.after(one.is_delivered, one.claim.id, now=now)
        _save(pk, breaker)
        if breaker.openings > before.openings:
            log.warning("breaker_opened", subscription=pk, failures=breaker.failures)
        if breaker.is_hopeless(now=now):
            hopeless.append(pk)
    return hopeless


def _breakers(failing: Sequence[int]) -> tuple[Mapping[int, Breaker], datetime]:
    found = fetch_prepared(LOAD_BREAKERS, [list(failing)])
    now = found[0][6] if found else datetime.now(tz=UTC)
    return {row[0]: Breaker(*row[1:6]) for row in found}, now


def _save(subscription_id: int, breaker: Breaker) -> None:
    execute(
        SAVE_BREAKER,
        [
            subscription_id,
            breaker.failures,
            breaker.failing_since,
            breaker.openings,
            breaker.open_until,
            breaker.probe_id,
        ],
    )


def give_back(claims: Sequence[Claim], *, is_leaving: bool = False) -> None:
    """Give up claims whose try has not begun; it does not count as an attempt.

    They queue for their receiver, or wait for another worker at once if this one `is_leaving`.
    """
    if not claims:
        return
    state = (Status.PENDING, "", timedelta()) if is_leaving else (Status.QUEUED, NO_ROOM, ROOM_NET)
    execute(
        GIVE_BACK,
        [
            [claim.id for claim in claims],
            [claim.generation for claim in claims],
            [claim.attempt for claim in claims],
            *state,
        ],
    )
