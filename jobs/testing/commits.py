"""Commits inside a transaction that is never committed, as that of pytest-django's `db`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import structlog
from django.db import connection, transaction

from jobs.crashpoints import listening

log = structlog.get_logger(__name__)

_CONTROL = ("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT")


@contextmanager
def as_if_committed() -> Iterator[Callable[[], None]]:
    """Let the transactions that begin in the block look as if they were the outermost ones.

    Inside a transaction each statement outside of an `atomic` block is given its own savepoint, so
    that one which fails leaves the others alone, as without a transaction; and `on_commit`
    callbacks are called when what they wait for would be committed: at the next of the engine's
    commit points, or when the function that is yielded is called. Without a transaction around it
    the block is left as it is.
    """
    if not connection.in_atomic_block:
        yield lambda: None
        return
    commits = _Commits()
    with (
        connection.execute_wrapper(commits.around_statement),
        listening(lambda point: commits.settle(), first=True),
    ):
        try:
            yield commits.settle
            commits.settle()
        finally:
            commits.forget()


class _Commits:
    def __init__(self) -> None:
        self._depth = len(connection.savepoint_ids)
        self._before = len(connection.run_on_commit)
        self._is_inside = False

    def around_statement(
        self, execute: Callable[..., Any], sql: Any, parameters: Any, many: bool, context: Any
    ) -> Any:
        if self._is_inside or str(sql).startswith(_CONTROL):
            return execute(sql, parameters, many, context)
        if self._is_open():
            self._give_savepoint()
            return execute(sql, parameters, many, context)
        connection.needs_rollback = False  # of a statement that failed before, alone
        self._is_inside = True
        try:
            with transaction.atomic():
                return execute(sql, parameters, many, context)
        finally:
            self._is_inside = False

    def _give_savepoint(self) -> None:
        """Make one for an outermost block that was begun without, before its first statement."""
        savepoints: list[str | None] = cast(Any, connection.savepoint_ids)
        if savepoints[self._depth] is None:
            connection.needs_rollback = False
            savepoints[self._depth] = connection.savepoint()

    def settle(self) -> None:
        """Call what waits for a commit, if no block is open."""
        while not self._is_open() and len(connection.run_on_commit) > self._before:
            waiting: Any = connection.run_on_commit.pop(self._before)
            _, callback, is_robust = waiting
            try:
                callback()
            except Exception as error:
                if not is_robust:
                    raise
                log.warning("on_commit_failed", error=str(error))

    def forget(self) -> None:
        del connection.run_on_commit[self._before :]
        connection.needs_rollback = False

    def _is_open(self) -> bool:
        return len(connection.savepoint_ids) > self._depth
