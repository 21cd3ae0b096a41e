"""What the authors' API needs of the engine behind it; filled when Django is ready."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar
from uuid import UUID

R_co = TypeVar("R_co", covariant=True)


class RunHandle(Protocol[R_co]):
    """A started run, as its author sees it."""

    @property
    def pk(self) -> UUID: ...
    @property
    def status(self) -> str: ...
    @property
    def rollback(self) -> str: ...
    def result(self, timeout: float | None = None) -> R_co: ...


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
        arguments: list[tuple[Any, ...]],
        *,
        company: str | None,
        env: str,
    ) -> list[RunHandle[Any]]: ...


class Monitor(Protocol):
    """Whoever shows tasks and their states; must neither wait nor raise."""

    def __call__(
        self, kind: str, *, task: str, task_id: str, hostname: str, fields: dict[str, Any]
    ) -> None: ...


class _Ports:
    engine: Engine | None = None
    register_task: Callable[[str], None] | None = None
    monitor: Monitor | None = None


ports = _Ports()
