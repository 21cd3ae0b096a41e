"""Statements and their rows."""

import json
from datetime import datetime
from typing import Any, cast

from django.db import connection


def rows(sql: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Execute one statement that returns rows, and return them."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
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
