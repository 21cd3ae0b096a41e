"""What steps write down about themselves: independent of the engine's rows, each line at once.

Lines go over a connection of their own, so that neither the engine's transactions nor a broken
Django connection takes them back. `EFFECT` is written through Django's: it shares the fate of the
step's own writes.
"""

import json
import os
import time
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from jobs import Context
from tests.faults.behaviours import COMPENSATE

TABLES = """
DROP TABLE IF EXISTS fault_journal, fault_effect;
CREATE TABLE fault_journal (
    id bigserial PRIMARY KEY,
    run_id uuid NOT NULL,
    number int NOT NULL,
    node text NOT NULL,
    attempt int NOT NULL,
    event text NOT NULL,  -- started, saving, saved, failing, returning
    key text NOT NULL,
    value jsonb,
    pid int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fault_effect (
    run_id uuid NOT NULL,
    node text NOT NULL,
    attempt int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
INSERT = (
    "INSERT INTO fault_journal (run_id, number, node, attempt, event, key, value, pid)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)
EFFECT = "INSERT INTO fault_effect (run_id, node, attempt) VALUES (%s, %s, %s)"
LATER = "SELECT 1 FROM fault_journal WHERE run_id = %s AND node = %s AND attempt > %s"
PATIENCE_SECONDS = 8.0

_connections: dict[int, psycopg.Connection[Any]] = {}  # by pid: a fork must not share its parent's


def write(ctx: Context, event: str, value: Any = None) -> None:
    """Write a line; a database that restarts is waited for, one that stays away is an error."""
    row = [
        ctx.run_id,
        ctx.input,
        ctx.step,
        ctx.attempt,
        event,
        ctx.idempotency_key,
        json.dumps(value),
        os.getpid(),
    ]
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            _connection().execute(INSERT, row)
            return
        except psycopg.OperationalError:
            _connections.pop(os.getpid(), None)
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def has_later_attempt(ctx: Context) -> bool:
    """Whether another attempt of this step has begun; False if the database does not say."""
    try:
        found = _connection().execute(LATER, [ctx.run_id, ctx.step, ctx.attempt]).fetchone()
    except psycopg.OperationalError:
        _connections.pop(os.getpid(), None)
        return False
    return found is not None


def write_effect(ctx: Context) -> None:
    """Write a row on Django's own connection, in the transaction that is open on it, if any."""
    with connection.cursor() as cursor:
        cursor.execute(EFFECT, [ctx.run_id, ctx.step, ctx.attempt])


def is_compensation(ctx: Context) -> bool:
    return ctx.step.endswith(COMPENSATE)


def _connection() -> psycopg.Connection[Any]:
    pid = os.getpid()
    if pid not in _connections:
        _connections[pid] = psycopg.connect(settings.DATABASE_URL, autocommit=True)
    return _connections[pid]
