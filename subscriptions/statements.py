"""SQL run on Django's connection, with parameters that psycopg knows and Django's types do not."""

from typing import Any

import psycopg
from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled


class OutOfTime(Exception):
    """A statement took longer than it was given."""


def fetch(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def fetch_in_time(statement: str, parameters: Any, *, seconds: float) -> list[tuple[Any, ...]]:
    """Run a statement that may take so long at most, and return its rows; raises OutOfTime.

    Three statements more, and a savepoint if a transaction is open: it goes on either way.
    """
    try:
        with transaction.atomic():
            [(before,)] = fetch("SELECT current_setting('statement_timeout')", [])
            _limit_time(f"{max(1, round(seconds * 1000))}ms")
            rows = fetch(statement, parameters)
            _limit_time(before)
            return rows
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise OutOfTime from error


def _limit_time(limit: str) -> None:
    fetch("SELECT set_config('statement_timeout', %s, true)", [limit])


def execute(statement: str, parameters: Any) -> int:
    """Run a statement and return how many rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def fetch_prepared(statement: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    """Run a statement that is run over and over, and return its rows.

    psycopg prepares it after some times unless DATABASE_PREPARED is off: tables of many partitions
    take longer to plan for than to look into.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement, parameters).fetchall()


def execute_prepared(statement: str, parameters: Any = ()) -> int:
    """Run a statement that is run over and over, and return how many rows it changed."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(statement, parameters).rowcount
