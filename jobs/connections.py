"""Put right what an interrupt leaves of Django's database connections."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg.pq import TransactionStatus

IN_TRANSACTION = (TransactionStatus.INTRANS, TransactionStatus.INERROR)


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
    for connection in connections.all(initialized_only=True):
        state = before.get(connection.alias, _State())
        if connection.connection is not None and not _is_as(connection, state):
            _close(connection, state)


def _is_as(connection: BaseDatabaseWrapper, state: _State) -> bool:
    status = connection.connection.info.transaction_status
    wanted = IN_TRANSACTION if state.in_atomic_block else (TransactionStatus.IDLE,)
    return status in wanted and _State.of(connection) == state


def _close(connection: BaseDatabaseWrapper, state: _State) -> None:
    """Close it with Django's notes as they were: the interrupt may have come between two lines."""
    connection.in_atomic_block = state.in_atomic_block
    del connection.atomic_blocks[state.depth :]
    del connection.savepoint_ids[max(state.depth - 1, 0) :]
    connection.close()
