"""What a step's code writes tells where it comes from: the run's correlation id, one level deeper.

Triggers on watched tables read both from the session (`counterpoint.correlation_id`,
`counterpoint.depth`), so that a chain of workflows that set each other off is known, and ended.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg.pq import TransactionStatus

from jobs.transitions.claims import Claim

SET = (
    "SELECT set_config('counterpoint.correlation_id', %s, %s),"
    " set_config('counterpoint.depth', %s, %s)"
)


@contextmanager
def told_of(held: Claim) -> Iterator[None]:
    """Let the default database know the step's run while its code runs.

    Costs nothing where the code does not use the database: said with its first statement, in one
    round trip for a transaction, in two outside.
    """
    teller = _Teller(held.correlation_id or str(held.run_id), held.depth + 1)
    try:
        with connection.execute_wrapper(teller):
            yield
    finally:
        teller.take_back()


class _Teller:
    """Says it before the first statement: for the transaction at hand, or else for the session."""

    def __init__(self, correlation_id: str, depth: int) -> None:
        self._told = (correlation_id, str(depth))
        self._is_said = False
        self._session: Any = None  # the connection that knows it beyond a transaction

    def __call__(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        used = context["connection"]
        if self._session is None or self._session is not used.connection:
            self._say(used)
        return execute(sql, params, many, context)

    def _say(self, used: Any) -> None:
        begins = used.connection.info.transaction_status == TransactionStatus.IDLE
        if self._is_said and not begins:
            return
        is_local = used.in_atomic_block
        with used.connection.cursor() as cursor:
            cursor.execute(SET, [self._told[0], is_local, self._told[1], is_local])
        self._is_said = True
        if not is_local:
            self._session = used.connection

    def take_back(self) -> None:
        """Make the session forget; a connection that cannot is closed."""
        if self._session is None or self._session is not connection.connection:
            return
        try:
            with self._session.cursor() as cursor:
                cursor.execute(SET, ["", False, "", False])
        except psycopg.Error:
            connection.close()
        except BaseException:  # the step's time may be up right now
            connection.close()
            raise
