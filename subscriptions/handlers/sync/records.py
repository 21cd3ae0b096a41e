"""A record as it is now, read from its watched table; never another company's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from subscriptions.documents import parse
from subscriptions.handlers.sync.errors import Refused, SyncFailed

# Names come back quoted by the server, so that they can be put together as they are.
_TABLE = """
SELECT format('%%I.%%I', n.nspname, c.relname), quote_ident(w.company), w.key_columns,
    ARRAY(SELECT quote_ident(k.name) FROM unnest(w.key_columns) WITH ORDINALITY AS k (name, place)
        ORDER BY k.place),
    ARRAY(SELECT format_type(a.atttypid, a.atttypmod)
        FROM unnest(w.key_columns) WITH ORDINALITY AS k (name, place)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = k.name ORDER BY k.place)
FROM event_system_watch w
JOIN pg_class c ON c.oid = w.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE w."table" = %s
"""


@dataclass(frozen=True)
class Table:
    """A watched table; all but `key_names` are SQL text that the server has quoted."""

    relation: str
    company: str | None
    key_names: Sequence[str]
    keys: Sequence[str]
    types: Sequence[str]


def fetch(table: str, record_id: Any, *, company: str | None) -> Mapping[str, Any] | None:
    """Return the company's row with this key, None if it is gone or is not the company's.

    `record_id` is the event's: text, or an object by key column. Two queries, by the primary key.
    Raises SyncFailed if the table is not watched, Refused if it has no key or company.
    """
    found = _table(table)
    if company is not None and found.company is None:
        raise Refused(
            f"{table} has no company column, so no company's rows can be told from it:"
            " watch it with company => …"
        )
    conditions = [
        f"t.{key} = %s::{kind}" for key, kind in zip(_plain(found.keys), found.types, strict=True)
    ]
    values: list[str] = _key_values(found, record_id)
    if found.company is not None:
        [column] = _plain([found.company])
        conditions.append(f"t.{column}::text = %s")
        values.append(company or "")
    [relation] = _plain([found.relation])
    statement = (
        f"SELECT row_to_json(t)::text FROM {relation} AS t"  # noqa: S608 - quoted by the server
        f" WHERE {' AND '.join(conditions)}"
    )
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    return parse(row[0]) if row else None


def _table(name: str) -> Table:
    with connection.cursor() as cursor:
        cursor.execute(_TABLE, [name])
        row = cursor.fetchone()
    if row is None:
        raise SyncFailed(f"{name} is not watched any more: attach_event_trigger() watches it")
    found = Table(*row)
    if not found.keys:
        raise Refused(f"{name} has no primary key, so no row of it can be found again")
    return found


def _key_values(table: Table, record_id: Any) -> list[str]:
    parts = record_id if isinstance(record_id, dict) else {table.key_names[0]: record_id}
    if set(parts) != set(table.key_names):
        raise Refused(
            f"the event's key {sorted(parts)} is not the table's {sorted(table.key_names)} any more"
        )
    return [_text(parts[name]) for name in table.key_names]


def _text(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _plain(names: Sequence[str]) -> list[str]:
    """Keep a % in a name from being taken for a placeholder."""
    return [name.replace("%", "%%") for name in names]
