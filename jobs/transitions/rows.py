"""Statements and their rows."""

import json
from datetime import datetime
from typing import Any, cast

from django.db import connection
from django.db.backends.postgresql.base import ServerBindingCursor

BoundByTheServer: Any = ServerBindingCursor  # its stubs leave its connection out


def rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Execute one statement that returns rows, and return them."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def prepared(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Do as `rows` does, with a statement that each step makes: the server parses and plans it once
    a connection, where that has a `prepare_threshold`. It must be able to infer the parameters'
    types.
    """
    if connection.queries_logged:  # Django cannot show what a cursor of another kind has executed
        return rows(sql, parameters)
    connection.ensure_connection()
    # psycopg gives an int a type by its size, and each mix of types a statement of its own.
    sent = {name: str(v) if type(v) is int else v for name, v in parameters.items()}
    with (
        connection.wrap_database_errors,
        connection.make_cursor(BoundByTheServer(connection.connection)) as cursor,
    ):
        cursor.execute(sql, sent)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def execute(sql: str, parameters: dict[str, Any]) -> None:
    """Execute one statement that returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def changed(sql: str, parameters: dict[str, Any]) -> bool:
    """Execute one guarded statement with RETURNING and say whether a row passed its guard."""
    return bool(rows(sql, parameters))


def clock() -> datetime:
    """Return the database's time: workers' clocks may differ."""
    ((now,),) = rows("SELECT clock_timestamp()", {})
    return cast(datetime, now)


def from_json(value: str | None) -> Any:
    """Return a jsonb column's value; the cursor hands it over as text."""
    return None if value is None else json.loads(value)


def to_text(value: Any) -> str | None:
    """Return JSON text, None for SQL NULL."""
    return None if value is None else json.dumps(value, ensure_ascii=False)
