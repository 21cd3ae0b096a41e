"""Which of some deliveries a worker may make now; the others get the status that says why not.

One statement looks, one claims, one rules the others out; all guarded by the status that was seen.
Deliveries that know their record are decided under an advisory lock of that record, which the
recording of outcomes takes too: neither order nor a wake-up is lost between two workers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction

from subscriptions.cursor import READABLE_COLUMNS
from subscriptions.deliveries.admission import (
    NO_ROOM,
    Candidate,
    Definition,
    Ruled,
    Status,
    rule_out,
)
from subscriptions.deliveries.definitions import definitions
from subscriptions.deliveries.places import at_the_rate, into_the_room, past_the_breaker
from subscriptions.deliveries.record_order import is_replaced, lock_records, promote, supersede
from subscriptions.envelope import Envelope
from subscriptions.statements import execute, fetch_prepared

OPEN = "('pending', 'running', 'retrying', 'waiting', 'queued', 'held')"
# Of a place that was kept so long ago nobody knows what has been sent since.
STALE_SLOT = timedelta(seconds=10)

_SAME_RECORD = """SELECT FROM event_system_delivery o WHERE o.subscription_id = d.subscription_id
            AND o.record_key = d.record_key"""

LOOK = f"""
SELECT d.id, d.event_seq, d.subscription_id, d.handler_type, d.attempts, d.record_key, d.batch_id,
    CASE WHEN d.slot_at > clock_timestamp() - %s THEN d.slot_at END,
    d.record_key IS NOT NULL AND EXISTS ({_SAME_RECORD}
            AND o.event_seq < d.event_seq AND o.status IN {OPEN}),
    d.record_key IS NOT NULL AND EXISTS ({_SAME_RECORD}
            AND o.event_seq < d.event_seq AND o.status = 'running'),
    d.record_key IS NOT NULL AND EXISTS ({_SAME_RECORD}
            AND o.event_seq > d.event_seq AND o.status IN {OPEN}),
    g.open_until IS NOT NULL AND g.probe_id IS DISTINCT FROM d.id,
    COALESCE(g.open_until <= clock_timestamp(), false)
FROM event_system_delivery d
LEFT JOIN event_system_gate g ON g.subscription_id = d.subscription_id
WHERE d.id = ANY (%s) AND d.status = 'pending'
ORDER BY d.event_seq, d.id
"""  # noqa: S608 - constants

IN_THE_SAME_BATCH = """
SELECT id FROM event_system_delivery
WHERE status = 'pending' AND batch_id IN (
    SELECT batch_id FROM event_system_delivery WHERE id = ANY (%s) AND batch_id IS NOT NULL)
"""

# In the order of their ids, as every statement locks them that takes several.
CLAIM = f"""
WITH mine AS (
    SELECT d.id, d.event_at, w.batch_id
    FROM unnest(%s::bigint[], %s::bigint[]) AS w (id, batch_id)
    JOIN event_system_delivery d ON d.id = w.id
    WHERE d.status = 'pending' ORDER BY d.id FOR NO KEY UPDATE OF d
), claimed AS (
    UPDATE event_system_delivery d
    SET status = 'running', attempts = d.attempts + 1, slot_at = NULL, batch_id = mine.batch_id,
        error = '', due_at = clock_timestamp() + %s
    FROM mine WHERE d.id = mine.id AND d.event_at = mine.event_at
    RETURNING d.id, d.event_seq, d.event_at, d.subscription_id, d.handler_type, d.attempts,
        d.generation, d.record_key, d.batch_id
)
SELECT c.id, c.subscription_id, c.handler_type, c.attempts, c.generation, c.record_key, c.batch_id,
    {READABLE_COLUMNS}
FROM claimed c
LEFT JOIN event_system_event e ON e.seq = c.event_seq AND e.recorded_at = c.event_at
ORDER BY c.event_seq, c.id
"""  # noqa: S608 - constants

RULE = """
WITH mine AS (
    SELECT d.id, d.event_at, r.status, r.error, r.delay, r.slot_at
    FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::interval[], %s::timestamptz[])
        AS r (id, status, error, delay, slot_at)
    JOIN event_system_delivery d ON d.id = r.id
    WHERE d.status = 'pending' ORDER BY d.id FOR NO KEY UPDATE OF d
)
UPDATE event_system_delivery d
SET status = r.status, error = r.error, due_at = clock_timestamp() + r.delay, slot_at = r.slot_at,
    finished_at = CASE WHEN r.status IN ('dead', 'canceled', 'superseded') THEN clock_timestamp()
        END
FROM mine r WHERE d.id = r.id AND d.event_at = r.event_at
"""


@dataclass(frozen=True)
class Claim:
    """A delivery that this worker holds until its lease ends; the attempt is the fencing token."""

    id: int
    subscription_id: int
    handler_type: str
    attempt: int
    generation: int
    record_key: str | None
    batch_id: int | None
    event: Envelope | None


# Returns how many more deliveries of a subscription this process has room for.
Room = Callable[[Definition], int]


@dataclass(frozen=True)
class Taken:
    """What was claimed, and the definitions by subscription.

    `promoted` waited for some that ended here: somebody should take them next. `crowded` are the
    subscriptions of which some found no room: whoever has room again should call them.
    """

    claims: list[Claim]
    definitions: Mapping[int, Definition]
    promoted: list[int]
    crowded: frozenset[int] = frozenset()


def take(delivery_ids: Sequence[int], *, room: Room) -> Taken:
    """Claim those of the deliveries that may be made now, and rule the others out.

    Ids that somebody else has, or that are done, are passed over.
    """
    candidates = _with_their_batches(look(delivery_ids))
    if not candidates:
        return Taken([], {}, [])
    known = definitions({candidate.subscription_id for candidate in candidates})
    keyed = [candidate for candidate in candidates if candidate.record_key is not None]
    with transaction.atomic() if keyed else nullcontext():
        if keyed:
            lock_records((one.subscription_id, one.record_key) for one in keyed)
            candidates = look([candidate.id for candidate in candidates])
        admitted, ruled = _admit(candidates, known, room)
        claims = _claim(admitted, known)
        promoted = rule(ruled, candidates, known)
    usable = {pk: one for pk, one in known.items() if isinstance(one, Definition)}
    without_room = {one.id for one in ruled if one.error == NO_ROOM}
    crowded = frozenset(one.subscription_id for one in candidates if one.id in without_room)
    return Taken(claims, usable, promoted, crowded)


def look(delivery_ids: Sequence[int]) -> list[Candidate]:
    """Return those that are pending, in the order of their events. One query."""
    return [Candidate(*row) for row in fetch_prepared(LOOK, [STALE_SLOT, list(delivery_ids)])]


def _with_their_batches(candidates: list[Candidate]) -> list[Candidate]:
    if all(candidate.batch_id is None for candidate in candidates):
        return candidates
    ids = [candidate.id for candidate in candidates]
    others = {pk for (pk,) in fetch_prepared(IN_THE_SAME_BATCH, [ids])} - set(ids)
    return look([*ids, *others]) if others else candidates


def _admit(
    candidates: Sequence[Candidate], known: Mapping[int, Definition | str], room: Room
) -> tuple[list[Candidate], list[Ruled]]:
    by_subscription: defaultdict[int, list[Candidate]] = defaultdict(list)
    ruled: list[Ruled] = []
    for candidate in candidates:
        reason = rule_out(candidate, known.get(candidate.subscription_id))
        if reason is None:
            by_subscription[candidate.subscription_id].append(candidate)
        else:
            ruled.append(reason)
    admitted: list[Candidate] = []
    # By id, as all who lock several gates do.
    for pk, waiting in sorted(by_subscription.items()):
        definition = known[pk]
        assert isinstance(definition, Definition)  # noqa: S101 - the others were ruled out
        let_in, shut = past_the_breaker(waiting)
        places = room(definition) * definition.subscription.batch_size
        let_in, full = into_the_room(let_in, places)
        let_in, later = at_the_rate(let_in, definition.subscription.max_rate)
        admitted += let_in
        ruled += [*shut, *full, *later]
    return admitted, ruled


def _claim(admitted: Sequence[Candidate], known: Mapping[int, Definition | str]) -> list[Claim]:
    if not admitted:
        return []
    batches = _batches(admitted, known)
    lease = max(_handler_lease(known[candidate.subscription_id]) for candidate in admitted)
    found = fetch_prepared(
        CLAIM,
        [
            [candidate.id for candidate in admitted],
            [batches.get(candidate.id) for candidate in admitted],
            lease,
        ],
    )
    supersede([one for one in admitted if is_replaced(known[one.subscription_id])])
    return [Claim(*(*row[:7], Envelope(*row[7:]) if row[7] is not None else None)) for row in found]


def _handler_lease(definition: Definition | str) -> timedelta:
    assert isinstance(definition, Definition)  # noqa: S101 - admitted
    assert definition.handler is not None  # noqa: S101 - admitted
    return definition.handler.lease


def _batches(
    admitted: Sequence[Candidate], known: Mapping[int, Definition | str]
) -> dict[int, int]:
    """Return the batch of each delivery that has one: those tried together stay together."""
    found: dict[int, int] = {}
    fresh: defaultdict[int, list[int]] = defaultdict(list)
    for candidate in admitted:
        definition = known[candidate.subscription_id]
        if not isinstance(definition, Definition) or definition.subscription.batch_size < 2:
            continue
        if candidate.batch_id is not None:
            found[candidate.id] = candidate.batch_id
        else:
            fresh[candidate.subscription_id].append(candidate.id)
    for pk, ids in fresh.items():
        definition = known[pk]
        assert isinstance(definition, Definition)  # noqa: S101 - found above
        size = definition.subscription.batch_size
        for first in range(0, len(ids), size):
            found |= dict.fromkeys(ids[first : first + size], ids[first])
    return found


def rule(
    ruled: Sequence[Ruled],
    candidates: Iterable[Candidate],
    known: Mapping[int, Definition | str],
) -> list[int]:
    """Give each its status; return the ids that waited for one that has ended by this."""
    if not ruled:
        return []
    execute(
        RULE,
        [
            [one.id for one in ruled],
            [one.status for one in ruled],
            [one.error for one in ruled],
            [one.delay for one in ruled],
            [one.slot_at for one in ruled],
        ],
    )
    ended = {one.id for one in ruled if one.status in (Status.DEAD, Status.CANCELED)}
    records = {
        (candidate.subscription_id, candidate.record_key)
        for candidate in candidates
        if candidate.id in ended and candidate.record_key is not None
    }
    return promote(records, known)
