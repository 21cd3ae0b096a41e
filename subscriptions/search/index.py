"""The index's rows: one for each record of a subscription, guarded by the outbox's order.

`seq` says as of which event a row stands; what is older changes nothing, whenever it comes. A
removed record leaves its row behind, empty, so that an older event does not bring it back.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DataError, OperationalError, connection, transaction
from psycopg.types.json import Jsonb

from subscriptions.search.entries import Content
from subscriptions.search.words import fold, vector

LONGEST_SNIPPET_SOURCE = 10_000  # characters of the body that are kept to show; all are searched
LONGEST_FOLDED = 500  # characters: an index row of PostgreSQL has at most 2,700 bytes

LOCK = """
SELECT id FROM event_system_subscription WHERE id = ANY (%s) ORDER BY id FOR KEY SHARE
"""

# In the order of the key, so that two workers never wait for each other. The row with the key ''
# says as of which event its table was emptied.
UPSERT = """
INSERT INTO event_system_search_entry AS e (subscription_id, company, "table", record_key,
    record_id, seq, is_removed, title, body, fields, link, folded, document, changed_at)
SELECT i.subscription_id, i.company, i."table", i.record_key, i.record_key::jsonb, i.seq,
    i.is_removed, i.title, i.body, i.fields, i.link, i.folded, i.document::tsvector,
    COALESCE(i.changed_at, clock_timestamp())
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::boolean[],
    %s::text[], %s::text[], %s::jsonb[], %s::text[], %s::text[], %s::text[], %s::timestamptz[])
    AS i (subscription_id, company, "table", record_key, seq, is_removed, title, body, fields,
        link, folded, document, changed_at)
WHERE NOT EXISTS (
    SELECT FROM event_system_search_entry emptied
    WHERE emptied.subscription_id = i.subscription_id AND emptied."table" = i."table"
        AND emptied.record_key = '' AND emptied.seq >= i.seq)
ORDER BY i.subscription_id, i."table", i.record_key
ON CONFLICT (subscription_id, "table", record_key) DO UPDATE SET
    company = excluded.company, seq = excluded.seq, is_removed = excluded.is_removed,
    title = excluded.title, body = excluded.body, fields = excluded.fields, link = excluded.link,
    folded = excluded.folded, document = excluded.document,
    changed_at = CASE WHEN %s AND NOT e.is_removed THEN e.changed_at ELSE excluded.changed_at END
WHERE e.seq <= excluded.seq
"""

EMPTY = """
WITH emptied AS (
    INSERT INTO event_system_search_entry AS e
        (subscription_id, "table", record_key, seq, is_removed, changed_at)
    VALUES (%(subscription)s, %(table)s, '', %(seq)s, true, %(at)s)
    ON CONFLICT (subscription_id, "table", record_key) DO UPDATE SET seq = excluded.seq
    WHERE e.seq < excluded.seq
)
UPDATE event_system_search_entry SET seq = %(seq)s, is_removed = true, title = '', body = '',
    fields = '{}', link = '', folded = '', document = '', changed_at = %(at)s
WHERE subscription_id = %(subscription)s AND "table" = %(table)s AND record_key <> ''
    AND seq < %(seq)s AND NOT is_removed
"""

# What is gone from some companies may be in another, by an event that is still to come: it must
# not be older than this.
REMOVE_OLDER = """
UPDATE event_system_search_entry SET is_removed = true, title = '', body = '', fields = '{}',
    link = '', folded = '', document = '', changed_at = clock_timestamp(),
    seq = CASE WHEN %(companies)s::text[] IS NULL THEN %(seq)s ELSE seq END
WHERE subscription_id = %(subscription)s AND record_key <> '' AND seq < %(seq)s
    AND NOT is_removed AND (%(companies)s::text[] IS NULL OR company = ANY (%(companies)s))
"""

# Nothing older than what the outbox holds can come any more. The day is for what a worker holds.
FORGET = """
DELETE FROM event_system_search_entry WHERE id IN (
    SELECT id FROM event_system_search_entry
    WHERE is_removed AND changed_at < clock_timestamp() - interval '1 day'
        AND seq < COALESCE((SELECT min(seq) FROM event_system_event),
            (SELECT last_value FROM event_system_event_seq))
    LIMIT %s)
"""


@dataclass(frozen=True)
class Entry:
    """What the index is to say of a record as of `seq`; without content, the record is gone.

    `record_key` is the JSON text of the record's id. Without a time, it is that of the row that is
    there, or now.
    """

    subscription_id: int
    company: str | None
    table: str
    record_key: str
    seq: int
    content: Content | None
    changed_at: datetime | None = None


def put(entries: Sequence[Entry]) -> set[int]:
    """Write entries in one statement; return the subscriptions that are there.

    Those of a subscription that is gone are left out. Of several entries of a record the latest
    counts. Raises DataError for what PostgreSQL does not take, too large a key or document as well.
    """
    try:
        return _put(entries)
    except OperationalError as error:
        # Not the server's trouble, although its class says so: class 54, a limit was exceeded.
        if str(getattr(error.__cause__, "sqlstate", "")).startswith("54"):
            raise DataError(f"too large for the search index: {error}") from error
        raise


def _put(entries: Sequence[Entry]) -> set[int]:
    latest: dict[tuple[int, str, str], Entry] = {}
    for entry in sorted(entries, key=lambda one: one.seq):
        latest[entry.subscription_id, entry.table, entry.record_key] = entry
    with transaction.atomic(), connection.cursor() as cursor:
        # Who empties a table waits for this, and the statement below sees what he wrote.
        cursor.execute(LOCK, [sorted({entry.subscription_id for entry in entries})])
        there = {row[0] for row in cursor.fetchall()}
        found = [entry for entry in latest.values() if entry.subscription_id in there]
        if found:
            cursor.execute(UPSERT, _columns(found))
    return there


def _columns(entries: Sequence[Entry]) -> list[Any]:
    nothing = Content("", "", {}, "")
    shown = [entry.content or nothing for entry in entries]
    return [
        [entry.subscription_id for entry in entries],
        [entry.company for entry in entries],
        [entry.table for entry in entries],
        [entry.record_key for entry in entries],
        [entry.seq for entry in entries],
        [entry.content is None for entry in entries],
        [one.title for one in shown],
        [one.body[:LONGEST_SNIPPET_SOURCE] for one in shown],
        [Jsonb(one.fields) for one in shown],
        [one.link for one in shown],
        [fold(one.title)[:LONGEST_FOLDED] for one in shown],
        [vector(one.title, one.body) for one in shown],
        [entry.changed_at for entry in entries],
        all(entry.changed_at is None for entry in entries),
    ]


def empty(subscription_id: int, table: str, *, seq: int, at: datetime) -> None:
    """Remove all records of a table as of an event: it was truncated."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM event_system_subscription WHERE id = %s FOR UPDATE", [subscription_id]
        )
        if cursor.rowcount:
            cursor.execute(
                EMPTY, {"subscription": subscription_id, "table": table, "seq": seq, "at": at}
            )


def remove_older(subscription_id: int, *, seq: int, companies: Collection[str] | None) -> int:
    """Remove the subscription's records, of these companies or of all, that stand as of before
    `seq`; return how many.
    """
    given = {
        "subscription": subscription_id,
        "seq": seq,
        "companies": None if companies is None else list(companies),
    }
    with connection.cursor() as cursor:
        cursor.execute(REMOVE_OLDER, given)
        return int(cursor.rowcount)


def forget_removed(*, limit: int) -> int:
    """Delete what removed records left behind, once no older event can come; return how many."""
    with connection.cursor() as cursor:
        cursor.execute(FORGET, [limit])
        return int(cursor.rowcount)
