"""What the authors' API needs of the engine behind it; filled when Django is ready."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

R_co = TypeVar("R_co", covariant=True)


class RunHandle(Protocol[R_co]):
    """A started run, as its author sees it; `jobs.models.Run` says what each does."""

    @property
    def pk(self) -> UUID: ...
    @property
    def status(self) -> str: ...
    @property
    def rollback(self) -> str: ...
    @property
    def waiting_for(self) -> str | None: ...
    def refresh_from_db(self) -> None: ...
    def result(self, timeout: float | None = None) -> R_co: ...
    def send(self, event_type: str, payload: Any) -> None: ...
    def cancel(self, *, reason: str, by: str = "") -> bool: ...
    def retry(self, *, reason: str, by: str = "") -> "RunHandle[R_co]": ...
    def fork(self, *, from_step: str, reason: str, by: str = "") -> "RunHandle[R_co]": ...
    def resume_rollback(self, *, reason: str, by: str = "") -> "RunHandle[R_co]": ...
    def resolve(self, step: str, reason: str, *, by: str = "") -> "RunHandle[R_co]": ...


class Engine(Protocol):
    """The use cases that definitions call."""

    def start(
        self,
        workflow: Any,
        arguments: tuple[Any, ...],
        *,
        company: str | None,
        env: str,
        idempotency_key: str | None,
        delay: timedelta | None = None,
    ) -> RunHandle[Any]: ...

    def start_many(
        self,
        workflow: Any,
        arguments: Sequence[tuple[Any, ...]],
        *,
        company: str | None,
        env: str,
    ) -> Sequence[RunHandle[Any]]: ...


class Monitor(Protocol):
    """Whoever shows tasks and their states; must neither wait nor raise."""

    def __call__(
        self, kind: str, *, task: str, task_id: str, hostname: str, fields: dict[str, Any]
    ) -> None: ...


class Events(Protocol):
    """The event system, where one is installed."""

    def describe(self, event: Any, payload: Any) -> tuple[str, Any]: ...
    def publish(
        self,
        event_type: str,
        payload: Any,
        *,
        company: str | None,
        key: str | None,
        correlation_id: str | None,
        depth: int,
        run_id: UUID,
    ) -> None: ...
    def past(
        self, event_type: str, company: str | None, since: datetime, match: Any
    ) -> Iterator[dict[str, Any]]: ...


class _Ports:
    engine: Engine | None = None
    control: Any = None  # the levers of `jobs.services`, for a run's own methods
    steps: Any = None  # `jobs.in_step`, for a context's methods
    events: Events | None = None
    register_task: Callable[[str], None] | None = None
    monitor: Monitor | None = None


ports = _Ports()


def event_system() -> Events:
    """Return the event system; raises RuntimeError where none is installed."""
    if ports.events is None:
        raise RuntimeError("no event system is installed: add 'subscriptions' to INSTALLED_APPS")
    return ports.events
