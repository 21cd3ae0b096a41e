"""Search what SEARCH subscriptions have indexed: one company's records, the best first."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from subscriptions.documents import parse
from subscriptions.search.snippets import marked, snippet
from subscriptions.search.words import composed, fold, query, words

MOST_HITS = 100
DEEPEST = 1000
LONGEST_TEXT = 200  # characters
MOST_WORDS = 10
# How alike a title and what was asked for must be: 0 to 1. Two letters of nine in the wrong order
# leave 0.43.
ALIKE = 0.4

# Each rank holds those before it. Of one rank the newest come first.
RANKS = (
    "folded = %(folded)s",
    "document @@ %(title_words)s::tsquery",
    "document @@ %(title_prefixes)s::tsquery",
    "document @@ %(words)s::tsquery",
    "document @@ %(prefixes)s::tsquery",
)
TITLE_RANKS = 3  # the first so many ask for the title alone
ENOUGH = 1000  # candidates to sort
# A beginning of so few letters is likely to be among the newest, and long to look up in the index:
# all the words that begin so are there.
SHORT = 2

# The two ways to the newest of those that match. With ORDER BY and LIMIT in one, the planner takes
# the index of the newest for rare words as well, and reads all of it.
RARE = """
SELECT id, "table", record_key, count(*) OVER () FROM (
    SELECT id, "table", record_key, changed_at FROM event_system_search_entry
    WHERE {scope} AND NOT is_removed AND {rank} LIMIT %(enough)s
) AS candidates ORDER BY changed_at DESC, id DESC LIMIT %(wanted)s
"""
FREQUENT = """
SELECT id, "table", record_key FROM event_system_search_entry
WHERE {scope} AND NOT is_removed AND {rank} ORDER BY changed_at DESC, id DESC LIMIT %(wanted)s
"""
DENSE = """
SELECT id, "table", record_key FROM (
    SELECT id, "table", record_key, document FROM event_system_search_entry
    WHERE {scope} AND NOT is_removed ORDER BY changed_at DESC, id DESC LIMIT %(enough)s
) AS newest WHERE {rank} LIMIT %(wanted)s
"""
# The second condition says nothing more, but its cost keeps the planner from asking every row.
ALIKES = """
SELECT id, "table", record_key FROM (
    SELECT id, "table", record_key, changed_at,
        event_system_search_closeness(folded, %(folded)s) AS closeness
    FROM event_system_search_entry
    WHERE {scope} AND NOT is_removed AND event_system_search_resembles(folded, %(folded)s)
        AND event_system_search_closeness(folded, %(folded)s) > 0
    LIMIT %(enough)s
) AS candidates ORDER BY closeness DESC, changed_at DESC, id DESC LIMIT %(wanted)s
"""
SHOWN = """
SELECT "table", record_id, company, title, body, fields::text, link, changed_at
FROM event_system_search_entry WHERE id = ANY (%s) ORDER BY array_position(%s, id)
"""


@dataclass(frozen=True)
class Hit:
    """A record that was found.

    `marked_title` and `snippet` are safe HTML: all escaped, what matches in `<mark>`. `record_id`
    is text, or an object if the key has several columns.
    """

    table: str
    record_id: Any
    company: str | None
    title: str
    marked_title: str
    snippet: str
    fields: dict[str, Any]
    link: str
    changed_at: datetime


def search(
    company: str | None,
    text: str,
    *,
    table: str | None = None,
    limit: int = 20,
    offset: int = 0,
) -> list[Hit]:
    """Find the company's records with all the words of the text, or words that begin so.

    A title that is the text comes first, then titles with the words, with words that begin so,
    then the same of title and body; where no title matches, those that are spelled alike. The
    company None has what belongs to no company. Two to twelve queries, each by an index.

    Raises ValueError for a limit or an offset out of range.
    """
    if not 1 <= limit <= MOST_HITS:
        raise ValueError(f"limit: {limit} is not 1 to {MOST_HITS}")
    if not 0 <= offset <= DEEPEST:
        raise ValueError(f"offset: {offset} is not 0 to {DEEPEST}; ask for more words instead")
    text = composed(text[:LONGEST_TEXT])
    asked = words(text)[:MOST_WORDS]
    if not asked:
        return []
    given = {
        "company": company,
        "table": table,
        "folded": " ".join(fold(text).split()),
        "title_words": query(asked, prefix=False, title=True),
        "title_prefixes": query(asked, prefix=True, title=True),
        "words": query(asked, prefix=False, title=False),
        "prefixes": query(asked, prefix=True, title=False),
        "is_short": min(map(len, asked)) <= SHORT,
        "enough": ENOUGH,
        # Twice as many: two subscriptions may have indexed one record.
        "wanted": 2 * (limit + offset),
    }
    scope = "company IS NULL" if company is None else "company = %(company)s"
    if table is not None:
        scope += ' AND "table" = %(table)s'
    with transaction.atomic(), connection.cursor() as cursor:
        ids = _best(cursor, scope, given, enough=limit + offset)[offset:]
        cursor.execute(SHOWN, [ids, ids])
        return [_hit(row, asked) for row in cursor.fetchall()]


def _best(cursor: Any, scope: str, given: Mapping[str, Any], *, enough: int) -> list[int]:
    """Return the ids of the entries that match, the best first, one for each record."""
    found: dict[tuple[str, str], int] = {}
    has_title = False
    for number, rank in enumerate(RANKS):
        for pk, table, record_key in _newest(cursor, scope, rank, given):
            found.setdefault((table, record_key), pk)
        if len(found) >= enough:
            return list(found.values())[:enough]
        has_title = has_title or (number < TITLE_RANKS and bool(found))
    if not has_title:
        cursor.execute(
            "SELECT set_config('pg_trgm.word_similarity_threshold', %s, true)", [str(ALIKE)]
        )
        cursor.execute(ALIKES.format(scope=scope), given)
        for pk, table, record_key in cursor.fetchall():
            found.setdefault((table, record_key), pk)
    return list(found.values())[:enough]


def _newest(
    cursor: Any, scope: str, rank: str, given: Mapping[str, Any]
) -> list[tuple[int, str, str]]:
    """Return id, table and record of what is of the rank or better, the newest first."""
    if given["is_short"] and "prefixes" in rank:
        cursor.execute(DENSE.format(scope=scope, rank=rank), given)
        rows = cursor.fetchall()
        if len(rows) == given["wanted"]:
            return [row[:3] for row in rows]
    cursor.execute(RARE.format(scope=scope, rank=rank), given)
    rows = cursor.fetchall()
    if rows and rows[0][3] >= ENOUGH:
        cursor.execute(FREQUENT.format(scope=scope, rank=rank), given)
        rows = cursor.fetchall()
    return [row[:3] for row in rows]


def _hit(row: tuple[Any, ...], asked: list[str]) -> Hit:
    table, record_id, company, title, body, fields, link, changed_at = row
    return Hit(
        table=table,
        record_id=parse(record_id),
        company=company,
        title=title,
        marked_title=marked(title, asked),
        snippet=snippet(body, asked),
        fields=parse(fields),
        link=link,
        changed_at=changed_at,
    )
