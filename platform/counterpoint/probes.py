"""Ask whether what this process needs is there; each probe says what is wrong in one line."""

from functools import cache

import redis
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from counterpoint import provision, sqs
from counterpoint.env import SettingError
from counterpoint.exits import database_problem

PROBE_SECONDS = 2.0


def require_database() -> None:
    """Raise SettingError unless the database answers."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except OperationalError as error:
        line = database_problem(error) or f"DATABASE_URL: {error}"
        raise SettingError("DATABASE_URL", line.removeprefix("DATABASE_URL: ")) from error
    finally:
        connection.close()  # a worker forks after this


def require_queues() -> None:
    """Raise SettingError unless every declared queue and its dead-letter queue exist."""
    with sqs.reachable():
        found = provision.problems(_client(), settings.QUEUES)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise SettingError("SQS_QUEUE_PREFIX", f"{found[0]}{more}: run manage.py ensure_queues")


def database() -> str | None:
    """Return what is wrong with the database, without details that only a log should have."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        connection.close()
        return "DATABASE_URL: no connection"
    return None


def migrations() -> str | None:
    """Return how many migrations are missing; reads the migration files until none is."""
    try:
        missing = _missing_migrations()
    except DatabaseError:
        return "not known without the database"
    return f"{missing} not applied: run manage.py migrate" if missing else None


_migrated = False


def _missing_migrations() -> int:
    global _migrated  # once migrated, a database stays so while this process runs
    if _migrated:
        return 0
    executor = MigrationExecutor(connection)
    missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    _migrated = missing == 0
    return missing


def queues() -> str | None:
    """Return the first queue that is missing or without its dead-letter queue."""
    try:
        require_queues()
    except SettingError as error:
        return str(error)
    return None


def redis_server() -> str | None:
    """Return what is wrong with Redis, which nothing but monitoring and caches depends on."""
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5
        ) as client:
            client.ping()
    except redis.RedisError:
        return "REDIS_URL: no connection"
    return None


@cache
def _client() -> object:
    return sqs.client(connect_seconds=PROBE_SECONDS, read_seconds=PROBE_SECONDS, attempts=1)
