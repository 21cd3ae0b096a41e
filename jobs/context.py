"""What a step is given as its first parameter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import svcs
from structlog.typing import FilteringBoundLogger


@dataclass(frozen=True, kw_only=True)
class Context:
    """The run and attempt that a step executes in.

    `idempotency_key` is the same for every attempt of this node of this run, and another for its
    compensation: hand it to whatever outside service the step calls.
    """

    run_id: UUID
    step: str
    attempt: int
    company: str | None
    env: str
    input: Any
    idempotency_key: str
    log: FilteringBoundLogger
    services: svcs.Container
    _output: Callable[[str], Any]
    _save_undo: Callable[[Any], None]

    def output(self, node: str) -> Any:
        """Return the output of an earlier node as JSON data; one query. KeyError if it has none
        yet.
        """
        return self._output(node)

    def undo_with(self, data: Any) -> None:
        """Save at once what this step's compensation is to be given, should the step not come to
        its end.
        """
        self._save_undo(data)
