"""What steps write down about themselves: independent of the engine's rows, each line at once.

Lines go over a connection of their own, so that neither the engine's transactions nor a broken
Django connection takes them back. `EFFECT` is written through Django's: it shares the fate of the
step's own writes.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection

from jobs import Context
from tests.faults.numbers import number_of

TABLES = """
DROP TABLE IF EXISTS fault_journal, fault_effect, fault_ask;
CREATE TABLE fault_journal (
    id bigserial PRIMARY KEY,
    run_id uuid NOT NULL,
    step_id bigint NOT NULL,
    number int NOT NULL,
    node text NOT NULL,
    attempt int NOT NULL,
    event text NOT NULL,  -- started, drawing, recalled, saving, saved, failing, returning
    key text NOT NULL,
    value jsonb,
    pid int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fault_effect (
    run_id uuid NOT NULL,
    step_id bigint NOT NULL,
    node text NOT NULL,
    attempt int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE fault_ask (  -- for a run of a singleton or a debounced workflow
    id bigserial PRIMARY KEY,
    number int NOT NULL,
    asked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id uuid,  -- what was answered
    answered_at timestamptz
);
"""
INSERT = (
    "INSERT INTO fault_journal (run_id, step_id, number, node, attempt, event, key, value, pid)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
EFFECT = "INSERT INTO fault_effect (run_id, step_id, node, attempt) VALUES (%s, %s, %s, %s)"
LATER = "SELECT 1 FROM fault_journal WHERE step_id = %s AND attempt > %s"
ASK = "INSERT INTO fault_ask (number) VALUES (%s) RETURNING id"
ANSWER = "UPDATE fault_ask SET run_id = %s, answered_at = clock_timestamp() WHERE id = %s"
PATIENCE_SECONDS = 8.0

_connections: dict[int, psycopg.Connection[Any]] = {}  # by pid: a fork must not share its parent's


def write(ctx: Context, event: str, value: Any = None) -> None:
    """Write a line; a database that restarts is waited for, one that stays away is an error."""
    row = [
        ctx.run_id,
        ctx._held.id,
        number_of(ctx.input),
        ctx.step,
        attempt(ctx),
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
            forget()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def has_later_attempt(ctx: Context) -> bool:
    """Whether another attempt of this step has begun; False if the database does not say."""
    try:
        found = _connection().execute(LATER, [ctx._held.id, attempt(ctx)]).fetchone()
    except psycopg.OperationalError:
        forget()
        return False
    return found is not None


def write_effect(ctx: Context) -> None:
    """Write a row on Django's own connection, in the transaction that is open on it, if any."""
    with connection.cursor() as cursor:
        cursor.execute(EFFECT, [ctx.run_id, ctx._held.id, ctx.step, attempt(ctx)])


def ask(number: int, start: Callable[[], UUID]) -> None:
    """Start a run and write down, before and after, what was asked for and what was answered."""
    row = _connection().execute(ASK, [number]).fetchone()
    answer = start()
    _connection().execute(ANSWER, [answer, row and row[0]])


# What the engine knows of an attempt and authors need not: which row it is of, and how manieth in
# all, over the rounds of a rollback that was resumed.


def attempt(ctx: Context) -> int:
    return ctx._held.attempts


def generation(ctx: Context) -> int:
    return ctx._held.generation


def forget() -> None:
    """Let go of a connection that the server has closed."""
    _connections.pop(os.getpid(), None)


def _connection() -> psycopg.Connection[Any]:
    pid = os.getpid()
    if pid not in _connections:
        _connections[pid] = psycopg.connect(settings.DATABASE_URL, autocommit=True)
    return _connections[pid]
