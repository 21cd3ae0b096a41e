"""What a step is given as its first parameter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

import svcs
from structlog.typing import FilteringBoundLogger

from jobs.ports import ports

if TYPE_CHECKING:
    from jobs.transitions.claims import Claim

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class Kept:
    """What an atomic step has said so far: it is written with the outcome.

    Written at once it would lock the step's row while the code runs, and nobody could extend its
    lease.
    """

    undo: str | None = None
    progress: tuple[float, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Context:
    """The run and attempt that a step executes in.

    `idempotency_key` is the same for every attempt of this node of this run, another for its
    compensation, and another after `retry()` of a run that was rolled back: hand it to whatever
    outside service the step calls.
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
    _held: "Claim"
    _encode_undo: Callable[[Any], str | None]
    _kept: Kept | None = None

    def output(self, node: str) -> Any:
        """Return the output of an earlier node as JSON data; one query unless it is an input of
        this step. KeyError if it has none yet.
        """
        return ports.steps.output(self._held, node)

    def undo_with(self, data: Any) -> None:
        """Save at once what this step's compensation is to be given, should the step not come to
        its end; in an `atomic` step with the step's own writes.
        """
        undo = self._encode_undo(data)
        if undo is not None:
            ports.steps.save_undo(self._held, undo, kept=self._kept)

    def heartbeat(self) -> None:
        """Extend the lease now. Raises `LostLease` if another worker has the step: then stop.

        The worker's main process does so too, every third of the lease, while it lives.
        """
        ports.steps.heartbeat(self._held)

    def progress(self, fraction: float, note: str = "") -> None:
        """Show how far the step is, from 0 to 1, and extend its lease; one statement.

        In an `atomic` step others see it only when the step has ended.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress({fraction!r}): it takes a share from 0 to 1")
        ports.steps.progress(self._held, fraction=float(fraction), note=note, kept=self._kept)

    @property
    def cancelled(self) -> bool:
        """Whether the run was told to stop; one query. A long step may then end early."""
        return bool(ports.steps.is_stopping(self._held))

    def run(self, name: str, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `fn(*args)` once and remember its result under the name, for later attempts of this
        step: they get it back without a call.

        The result must have a JSON form; it comes back as what the function's return annotation
        says, without one as plain JSON data, on the first call too.
        """
        found: R = ports.steps.memoised(self._held, name, fn, args, kwargs)
        return found

    def publish(self, event: Any, payload: Any = None, *, key: str | None = None) -> None:
        """Publish an event that becomes visible only if the run succeeds.

        `event` is an instance of a declared event's model, or its type's name with its payload,
        which is checked now.
        """
        ports.steps.publish(self._held, event, payload, key=key)
