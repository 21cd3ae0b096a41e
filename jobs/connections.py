"""Django's database connections in a worker: kept open from task to task, replaced when dead.

A worker's connection outlives restarts of the server and interrupts of the code that used it. What
is dead is noticed without asking the server.
"""

import select
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

from jobs.errors import TransactionLeftOpen

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

PAUSE_SECONDS = 0.1
IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


def drop_dead() -> None:
    """Close this thread's idle connections that their servers have closed; takes microseconds.

    A server that goes says so on the socket, where an idle connection has nothing to read.
    """
    for made in connections.all(initialized_only=True):
        if made.connection is not None and not made.in_atomic_block and _is_dead(made):
            log.info("database_connection_dropped", alias=made.alias)
            made.close()


def _is_dead(made: BaseDatabaseWrapper) -> bool:
    if made.connection.closed:
        return True
    poll = select.poll()
    poll.register(made.connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def reconnecting(work: Callable[[], T], *, patience: timedelta = timedelta(0)) -> T:
    """Do the work, and again on a new connection if its own turned out to be dead.

    Once more at once, then until `patience` is over, since a server that restarts refuses
    connections for a while. The work must bear being done twice: its commit may have been lost, or
    only the news of it. Raises the last error. Inside a transaction nothing is tried again.
    """
    deadline = time.monotonic() + patience.total_seconds()
    tries = 0
    while True:
        used = connection.connection
        try:
            return work()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block or not _has_lost(used):
                raise
            connection.close()
            tries += 1
            if tries > 1 and time.monotonic() > deadline:
                raise
            log.info("database_connection_lost", error=str(error), tries=tries)
        if tries > 1:
            time.sleep(PAUSE_SECONDS)


def persistently(work: Callable[P, T]) -> Callable[P, T]:
    """Decorate what records an outcome: a database that restarts is waited for, as long as the
    lease may last. If the first try was committed after all, the second finds the lease gone.
    """

    @wraps(work)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        return reconnecting(lambda: work(*arguments, **options), patience=settings.JOBS_LEASE)

    return call


def _has_lost(used: Any) -> bool:
    """Tell a connection that broke, or was refused, from a statement that failed on a sound one.

    At the end of a transaction that broke, Django has a new one already.
    """
    now = connection.connection
    return now is None or now.closed or (used is not None and used.closed)


@contextmanager
def renewed_after_errors() -> Iterator[None]:
    """Close the connection where a statement of the engine fails: what a step's code has set for
    its session (`SET search_path`, `default_transaction_read_only`) goes with it.
    """
    try:
        yield
    except DatabaseError:
        if not connection.in_atomic_block:
            connection.close()
        raise


@dataclass(frozen=True)
class _State:
    """What Django believes of a connection."""

    depth: int = 0
    in_atomic_block: bool = False
    autocommit: bool = True

    @classmethod
    def of(cls, connection: BaseDatabaseWrapper) -> "_State":
        if connection.connection is None:
            return cls()
        depth = len(connection.atomic_blocks)
        return cls(depth, connection.in_atomic_block, connection.autocommit)


Snapshot = Mapping[str, _State]


def snapshot() -> Snapshot:
    """Note which transactions this thread is in; asks no server."""
    return {made.alias: _State.of(made) for made in connections.all(initialized_only=True)}


def repair(before: Snapshot) -> None:
    """Close each connection that is not in the transaction it was in before, or is busy.

    Django opens a new one at the next statement; a transaction that was open before the snapshot is
    rolled back at its end.
    """
    for made in connections.all(initialized_only=True):
        state = before.get(made.alias, _State())
        if made.connection is not None and not _is_as(made, state):
            _close(made, state)


@contextmanager
def left_as_found() -> Iterator[None]:
    """Raise `TransactionLeftOpen` if the code inside leaves a transaction open: what it and the
    engine write next would be lost with it. Where the code fails too, its own error is raised.
    """
    before = snapshot()
    try:
        yield
    except BaseException:
        repair(before)
        raise
    for one in connections.all(initialized_only=True):
        state = before.get(one.alias, _State())
        if one.connection is not None and not _is_as(one, state):
            _close(one, state)
            raise TransactionLeftOpen(one.alias)


def _is_as(made: BaseDatabaseWrapper, state: _State) -> bool:
    status = made.connection.info.transaction_status
    # The first statement begins the transaction of an atomic block; there may have been none.
    wanted = (TransactionStatus.IDLE, *(IN_TRANSACTION if state.in_atomic_block else ()))
    return status in wanted and _State.of(made) == state


def _close(made: BaseDatabaseWrapper, state: _State) -> None:
    """Close it with Django's notes as they were: the interrupt may have come between two lines."""
    made.in_atomic_block = state.in_atomic_block
    del made.atomic_blocks[state.depth :]
    del made.savepoint_ids[max(state.depth - 1, 0) :]
    made.close()
