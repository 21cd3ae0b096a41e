"""How tries ended, written down: outcomes, attempts, breakers, and who may go next, in one
transaction.

Guarded by generation and attempt: who lost the lease records the try, but decides nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    -- The statement's time: those of a batch are due in the same moment.
    slot_at = CASE mine.status WHEN 'queued' THEN statement_timestamp() + mine.delay END,
    due_at = CASE WHEN mine.status IN ('retrying', 'queued')
        THEN statement_timestamp() + mine.delay END,
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

# Of those that failed now, or whose breaker has something to forget; all of them locked at once, in
# the order of their ids. `ON CONFLICT` locks a row that is there, and makes one that is not.
LOAD_BREAKERS = """
INSERT INTO event_system_gate AS g (subscription_id)
SELECT s.id FROM (
    SELECT unnest(%s::bigint[]) AS id
    UNION
    SELECT subscription_id FROM event_system_gate
    WHERE subscription_id = ANY (%s) AND (failures > 0 OR open_until IS NOT NULL)
) AS s ORDER BY s.id
ON CONFLICT (subscription_id) DO UPDATE SET failures = g.failures
RETURNING subscription_id, failures, failing_since, openings, open_until, probe_id,
    clock_timestamp()
"""

SAVE_BREAKERS = """
UPDATE event_system_gate g
SET failures = b.failures, failing_since = b.failing_since, openings = b.openings,
    open_until = b.open_until, probe_id = b.probe_id
FROM unnest(%s::bigint[], %s::integer[], %s::timestamptz[], %s::integer[], %s::timestamptz[],
        %s::bigint[])
    AS b (subscription_id, failures, failing_since, openings, open_until, probe_id)
WHERE g.subscription_id = b.subscription_id
"""


# The new status, the error, and how long it waits for the next try.
Verdict = tuple[Status, str, timedelta]


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

    def verdict(self) -> Verdict:
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
    verdicts = _verdicts(done)
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


def _verdicts(done: Sequence[Done]) -> list[Verdict]:
    """Return the verdict on each; what failed as one batch comes again as one, at the same time."""
    delays: dict[int, timedelta] = {}
    found = []
    for one in done:
        status, error, delay = one.verdict()
        if status == Status.RETRYING and one.claim.batch_id is not None:
            delay = delays.setdefault(one.claim.batch_id, delay)
        found.append((status, error, delay))
    return found


def _disable(subscription_id: int, *, reason: str) -> None:
    """Switch it off if that can be done at once: what was recorded must not be recorded again."""
    try:
        disabling.disable(subscription_id, reason=reason)
    except DatabaseError as error:
        log.warning("subscription_not_disabled", subscription=subscription_id, error=str(error))


def _record(done: Sequence[Done], verdicts: Sequence[Verdict]) -> frozenset[int]:
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
    telling = [
        one
        for one in done
        if not one.outcome.is_postponed and (one.is_delivered or not one.outcome.permanent)
    ]
    failing = {one.claim.subscription_id for one in telling if not one.is_delivered}
    well = {one.claim.subscription_id for one in telling} - failing
    if not telling:
        return []
    breakers, now = _breakers(failing, well)
    exchanges = _exchanges(telling)
    after = {
        pk: Breaker() if pk in well else _after(breaker, exchanges[pk], now=now)
        for pk, breaker in breakers.items()
    }
    _save(after)
    for pk, breaker in after.items():
        if breaker.openings > breakers[pk].openings:
            log.warning("breaker_opened", subscription=pk, failures=breaker.failures)
    return [pk for pk, breaker in after.items() if breaker.is_hopeless(now=now)]


def _exchanges(telling: Sequence[Done]) -> dict[int, list[list[Done]]]:
    """Return the tries by subscription and exchange, in their order: a batch went out as one."""
    found: defaultdict[int, dict[tuple[int, bool], list[Done]]] = defaultdict(dict)
    for one in sorted(telling, key=lambda one: one.ended):
        key = (one.claim.batch_id or -one.claim.id, one.is_delivered)
        found[one.claim.subscription_id].setdefault(key, []).append(one)
    return {pk: list(exchanges.values()) for pk, exchanges in found.items()}


def _after(breaker: Breaker, exchanges: Sequence[Sequence[Done]], *, now: datetime) -> Breaker:
    for mates in exchanges:
        ids = [one.claim.id for one in mates]
        told = breaker.probe_id if breaker.probe_id in ids else ids[0]
        breaker = breaker.after(mates[0].is_delivered, told, now=now)
    return breaker


def _breakers(failing: Iterable[int], well: Iterable[int]) -> tuple[dict[int, Breaker], datetime]:
    """Lock and return the breakers that these tries tell something about. One query."""
    found = fetch_prepared(LOAD_BREAKERS, [sorted(failing), sorted(well)])
    now = found[0][6] if found else datetime.now(tz=UTC)
    return {row[0]: Breaker(*row[1:6]) for row in found}, now


def _save(breakers: Mapping[int, Breaker]) -> None:
    if not breakers:
        return
    rows = breakers.values()
    execute(
        SAVE_BREAKERS,
        [
            list(breakers),
            [one.failures for one in rows],
            [one.failing_since for one in rows],
            [one.openings for one in rows],
            [one.open_until for one in rows],
            [one.probe_id for one in rows],
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
