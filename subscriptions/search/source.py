"""The rows of a watched table as its events tell them, read in pages by key."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from subscriptions.documents import parse
from subscriptions.errors import InvalidSubscription

PAGE = 500

# All names come quoted; record_key is made by the same SQL as that of the events.
SOURCE = """
SELECT format('%%I.%%I', n.nspname, c.relname), quote_ident(w.company), k.columns,
    (SELECT array_agg(quote_ident(key) ORDER BY position)
     FROM unnest(k.columns) WITH ORDINALITY AS u (key, position)),
    (SELECT array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY position)
     FROM unnest(k.columns) WITH ORDINALITY AS u (key, position)
     JOIN pg_attribute a ON a.attrelid = w.relation AND a.attname = key),
    (SELECT array_agg(quote_ident(a.attname) ORDER BY a.attnum) FROM pg_attribute a
     WHERE a.attrelid = w.relation AND a.attnum > 0 AND NOT a.attisdropped
        AND a.attname <> ALL (w.exclude) AND a.attgenerated <> 'v'),
    event_system_key('x', k.columns)
FROM event_system_watch w
JOIN pg_class c ON c.oid = w.relation JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL event_system_key_columns(w.relation) AS k (columns)
WHERE w."table" = %s
"""


@dataclass(frozen=True)
class Row:
    """One row: its key as events have it, its columns, its company, and where the page ends."""

    record_key: str
    columns: dict[str, Any]
    company: str | None
    place: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A watched table; the names are quoted already. `company` is that of the rows to read."""

    relation: str
    company_column: str | None
    keys: list[str]
    key_types: list[str]
    columns: list[str]
    record: str
    company: str | None = None

    def count(self) -> int:
        where, given = self._where(None)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {_safe(self.relation)} AS x {where}", given)  # noqa: S608 - quoted names
            return int(cursor.fetchone()[0])

    def pages(self) -> Iterator[list[Row]]:
        """Read all rows, PAGE at a time, each page as they are when it is read."""
        place: tuple[str, ...] | None = None
        while page := self._page(place):
            yield page
            place = page[-1].place

    def _page(self, place: tuple[str, ...] | None) -> list[Row]:
        where, given = self._where(place)
        keys = ", ".join(f"x.{key}" for key in self.keys)
        owner = "NULL" if self.company_column is None else f"x.{self.company_column}"
        places = ", ".join(f"x.{key}::text" for key in self.keys)
        statement = (
            f"SELECT ({self.record})::text, row_to_json(x)::text, {owner}::text, {places}"  # noqa: S608 - quoted names
            f" FROM (SELECT {', '.join(self.columns)} FROM {self.relation}) AS x"
        )
        with connection.cursor() as cursor:
            cursor.execute(f"{_safe(statement)} {where} ORDER BY {_safe(keys)} LIMIT {PAGE}", given)
            return [
                Row(record_key, parse(document), company, tuple(found))
                for record_key, document, company, *found in cursor.fetchall()
            ]

    def _where(self, place: tuple[str, ...] | None) -> tuple[str, list[str]]:
        conditions, given = [], []
        if self.company is not None:
            conditions.append(f"x.{_safe(str(self.company_column))}::text = %s")
            given.append(self.company)
        elif self.company_column is not None:  # rows without a company are no events either
            conditions.append(f"x.{_safe(self.company_column)} IS NOT NULL")
        if place is not None:
            keys = ", ".join(f"x.{key}" for key in self.keys)
            values = ", ".join(f"%s::{_safe(kind)}" for kind in self.key_types)
            conditions.append(f"ROW({_safe(keys)}) > ROW({values})")
            given += place
        return (f"WHERE {' AND '.join(conditions)}" if conditions else ""), given


def source_of(table: str, *, company: str | None) -> Source | None:
    """Return the table's source, or None if it has no rows for that company: no company column.

    Raises InvalidSubscription for a table that is not watched, or has no primary key.
    """
    with connection.cursor() as cursor:
        cursor.execute(SOURCE, [table])
        found = cursor.fetchone()
    if found is None:
        raise InvalidSubscription("table", f"{table!r} is not watched: manage.py watch {table}")
    relation, company_column, raw_keys, keys, key_types, columns, record = found
    if not raw_keys:
        raise InvalidSubscription("table", f"{table!r} has no primary key: SEARCH needs one")
    if company is not None and company_column is None:
        return None
    return Source(relation, company_column, keys, key_types, columns, record, company)


def _safe(fragment: str) -> str:
    """Double the percent signs of names, which stand beside placeholders."""
    return fragment.replace("%", "%%")
