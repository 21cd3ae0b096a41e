"""SQL run on Django's connection, with parameters that psycopg knows and Django's types do not."""

from typing import Any

import psycopg
from django.db import connection


def fetch(statement: str, parameters: Any) -> list[tuple[Any, ...]]:
    """Run a statement and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


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
