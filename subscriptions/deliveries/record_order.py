"""The deliveries of one record: who waits for whom, and who goes next.

All of it under an advisory lock of the record, taken by those who claim and by those who write
outcomes down: between two workers neither order nor a wake-up is lost.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from subscriptions.deliveries.admission import NET, Candidate, Definition
from subscriptions.statements import execute, fetch

LOCK_RECORDS = """
SELECT pg_advisory_xact_lock(key) FROM (
    SELECT DISTINCT hashtextextended(r.record_key, r.subscription_id) AS key
    FROM unnest(%s::bigint[], %s::text[]) AS r (subscription_id, record_key) ORDER BY 1) AS keys
"""

SUPERSEDE = """
WITH passed AS (
    SELECT d.id, d.event_at
    FROM unnest(%s::bigint[], %s::text[], %s::bigint[])
        AS c (subscription_id, record_key, event_seq)
    JOIN event_system_delivery d ON d.subscription_id = c.subscription_id
        AND d.record_key = c.record_key AND d.event_seq < c.event_seq
    WHERE d.status IN ('pending', 'retrying', 'waiting', 'queued')
    ORDER BY d.id FOR NO KEY UPDATE OF d
)
UPDATE event_system_delivery d SET status = 'superseded', finished_at = clock_timestamp(),
    error = 'a later event of the record took its place', due_at = NULL
FROM passed WHERE d.id = passed.id AND d.event_at = passed.event_at
"""

# Of a record whose latest event stands for all, the last that waits; else the first.
PROMOTE = """
UPDATE event_system_delivery d SET status = 'pending', error = '',
    due_at = clock_timestamp() + %s
FROM (
    SELECT n.id, n.event_at
    FROM unnest(%s::bigint[], %s::text[], %s::boolean[])
        AS r (subscription_id, record_key, replaces)
    CROSS JOIN LATERAL (
        SELECT w.id, w.event_at FROM event_system_delivery w
        WHERE w.subscription_id = r.subscription_id AND w.record_key = r.record_key
            AND w.status = 'waiting'
        ORDER BY CASE WHEN r.replaces THEN -w.event_seq ELSE w.event_seq END LIMIT 1) AS n
) AS next
WHERE d.id = next.id AND d.event_at = next.event_at AND d.status = 'waiting'
RETURNING d.id
"""


def lock_records(records: Iterable[tuple[int, str | None]]) -> None:
    """Lock records of subscriptions for this transaction. One query."""
    pairs = [pair for pair in records if pair[1] is not None]
    if pairs:
        fetch(LOCK_RECORDS, [[one for one, _ in pairs], [key for _, key in pairs]])


def supersede(claimed: Sequence[Candidate]) -> int:
    """End the open deliveries that come before these of their records."""
    behind = [one for one in claimed if one.record_key is not None and one.is_behind]
    if not behind:
        return 0
    return execute(
        SUPERSEDE,
        [
            [one.subscription_id for one in behind],
            [one.record_key for one in behind],
            [one.event_seq for one in behind],
        ],
    )


def promote(
    records: Collection[tuple[int, str | None]], known: Mapping[int, Definition | str]
) -> list[int]:
    """Make the next delivery of each record pending; return their ids."""
    if not records:
        return []
    pairs = list(records)
    replaces = [is_replaced(known.get(pk)) for pk, _ in pairs]
    found = fetch(PROMOTE, [NET, [pk for pk, _ in pairs], [key for _, key in pairs], replaces])
    return [pk for (pk,) in found]


def is_replaced(definition: Definition | str | None) -> bool:
    """Whether the latest event of a record stands for those before it."""
    return isinstance(definition, Definition) and definition.replaces
