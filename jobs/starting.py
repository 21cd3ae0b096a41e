"""Starting runs of a workflow, typed by its function."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

from jobs.errors import DefinitionError
from jobs.ports import Engine, RunHandle, ports
from jobs.tracing import caller, current

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

START_OPTIONS = frozenset({"company", "env", "idempotency_key", "delay"})


class Startable(Generic[P, R]):
    """What has `start` and `start_many`, typed by its call: a workflow or a job."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        raise NotImplementedError

    @overload
    def start(
        self: Callable[[], R],
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
        delay: timedelta | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A], R],
        a: A,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
        delay: timedelta | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A, B], R],
        a: A,
        b: B,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
        delay: timedelta | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A, B, C], R],
        a: A,
        b: B,
        c: C,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
        delay: timedelta | None = ...,
    ) -> RunHandle[R]: ...
    @overload
    def start(
        self: Callable[[A, B, C, D], R],
        a: A,
        b: B,
        c: C,
        d: D,
        /,
        *,
        company: str | None,
        env: str = ...,
        idempotency_key: str | None = ...,
        delay: timedelta | None = ...,
    ) -> RunHandle[R]: ...
    def start(
        self,
        *args: Any,
        company: str | None,
        env: str = "live",
        idempotency_key: str | None = None,
        delay: timedelta | None = None,
    ) -> RunHandle[Any]:
        """Store a run and send its first message when the transaction commits; return at once.

        The same `idempotency_key` gives the same run; with another input it raises
        `IdempotencyConflict`. Input that does not fit raises `InvalidInput`, and nothing is stored.
        With a `delay` the first step is not due before it has passed.
        """
        return _engine().start(
            self, args, company=company, env=env, idempotency_key=idempotency_key, delay=delay
        )

    @overload
    def start_many(
        self: Callable[[A], R], inputs: Iterable[A], /, *, company: str | None, env: str = ...
    ) -> list[RunHandle[R]]: ...
    @overload
    def start_many(
        self: Callable[[A, B], R],
        inputs: Iterable[tuple[A, B]],
        /,
        *,
        company: str | None,
        env: str = ...,
    ) -> list[RunHandle[R]]: ...
    @overload
    def start_many(
        self: Callable[[A, B, C], R],
        inputs: Iterable[tuple[A, B, C]],
        /,
        *,
        company: str | None,
        env: str = ...,
    ) -> list[RunHandle[R]]: ...
    @overload
    def start_many(
        self: Callable[[A, B, C, D], R],
        inputs: Iterable[tuple[A, B, C, D]],
        /,
        *,
        company: str | None,
        env: str = ...,
    ) -> list[RunHandle[R]]: ...
    def start_many(
        self, inputs: Iterable[Any], /, *, company: str | None, env: str = "live"
    ) -> list[RunHandle[Any]]:
        """Start a run for each input, all or none, in one go; return them in that order.

        Of a workflow with one parameter the inputs are its values, of one with several tuples of
        them. Raises `InvalidInput` before anything is stored.
        """
        return list(_engine().start_many(self, self._tuples(inputs), company=company, env=env))

    def _tuples(self, inputs: Iterable[Any]) -> list[tuple[Any, ...]]:
        raise NotImplementedError


def _engine() -> Engine:
    if current() is not None:
        raise DefinitionError(
            f"{caller()}: start() inside a workflow function would start a run at each import; call"
            " the workflow itself for a child run, or start it from a step"
        )
    if ports.engine is None:
        raise RuntimeError("Django is not set up: call django.setup() before starting workflows")
    return ports.engine
