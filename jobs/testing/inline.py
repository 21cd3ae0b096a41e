"""Run a workflow to its end in the calling process."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Required, TypedDict, TypeVar, Unpack, overload
from uuid import UUID

from django.db import transaction

from jobs import dispatch, execution, injection
from jobs.dispatch import WakeUp
from jobs.models import Run
from jobs.ports import RunHandle
from jobs.services import sweep
from jobs.testing.commits import as_if_committed
from jobs.testing.hourglass import family, is_live, next_timer, pass_until
from jobs.testing.kills import killed_at
from jobs.testing.rest import Event, Events, StillWaiting, obstacle

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")

MOST_RESTS = 10_000  # waits in a row, then the run is taken for one that never ends


class GoingOn(TypedDict, total=False):
    """How to go on; see `run_inline`."""

    services: Mapping[Any, object]
    events: Iterable[Event]
    let_waits_time_out: bool
    crash_at: str | None


class Starting(GoingOn, total=False):
    """How to start, and to go on; see `run_inline`."""

    company: Required[str | None]
    env: str


@overload
def run_inline(workflow: Callable[[], Any], /, **options: Unpack[Starting]) -> Run: ...
@overload
def run_inline(workflow: Callable[[A], Any], a: A, /, **options: Unpack[Starting]) -> Run: ...
@overload
def run_inline(
    workflow: Callable[[A, B], Any], a: A, b: B, /, **options: Unpack[Starting]
) -> Run: ...
@overload
def run_inline(
    workflow: Callable[[A, B, C], Any], a: A, b: B, c: C, /, **options: Unpack[Starting]
) -> Run: ...
@overload
def run_inline(
    workflow: Callable[[A, B, C, D], Any], a: A, b: B, c: C, d: D, /, **options: Unpack[Starting]
) -> Run: ...
def run_inline(
    workflow: Any, /, *inputs: Any, company: str | None, env: str = "live", **options: Any
) -> Run:
    """Start a run and work until it and its child runs have ended; return it as it is then.

    What is returned may have failed: `run.status`, `run.error`, `run.rollback` say so, and
    `run.result()` raises. Other runs that its steps start stay where they are.

    `services` replaces what steps get from `ctx.services`: a mapping of types to objects.

    Nothing is waited for. When nothing is ready, the run's next timer is due: a retry's backoff, a
    sleep, a wait's time-out, the time-out of the run, in the order of their moments. The database's
    clock stays; the run's due times move into its past. (The value of `sleep_until` is compared
    with the database's clock, however much time the run has seen.)

    `events` are given to the run's waits: `(type, payload)` each, the payload a JSON value or a
    function of the run that waits. Each goes, as soon as nothing else is ready, to the first wait
    that it matches, once. A wait without an event raises `StillWaiting`; with `let_waits_time_out`
    its time passes, and it gives None.

    `crash_at` kills the run at a commit point (see `crash_points` and `killed_at`), and returns it
    as that leaves it: its step claimed, its messages lost. `recover` goes on with it. A point that
    the run does not come to changes nothing.
    """
    begun: list[Any] = []
    with _process(**options) as go_on:
        with transaction.atomic():  # so that a kill right after the commit leaves a run to return
            begun.append(workflow.start(*inputs, company=company, env=env))
        go_on(begun[0].pk, "run-inline")
    return Run.objects.get(pk=begun[0].pk)


def recover(run: RunHandle[Any], **options: Unpack[GoingOn]) -> Run:
    """Go on with a run as another worker would once the lease of the first has expired, and every
    message is lost; return it as it is at its end. The options are those of `run_inline`.
    """
    with _process(**options) as go_on:
        go_on(run.pk, "recovery")
    return Run.objects.get(pk=run.pk)


@contextmanager
def without_messages() -> Iterator[None]:
    """Let the block start, cancel and feed runs without a broker; `recover` works them off."""
    with dispatch.holding_back():
        yield


@contextmanager
def _process(
    *,
    services: Mapping[Any, object] | None = None,
    events: Iterable[Event] = (),
    let_waits_time_out: bool = False,
    crash_at: str | None = None,
) -> Iterator[Callable[[UUID, str], None]]:
    """Yield what works on a run: in this process, with its services, until its death."""
    with ExitStack() as stack:
        if crash_at is not None:
            stack.enter_context(killed_at(crash_at))
        stack.enter_context(injection.replaced(services or {}))
        messages = stack.enter_context(dispatch.holding_back())
        commit = stack.enter_context(as_if_committed())

        def go_on(run_id: UUID, worker: str) -> None:
            made = _Worker(worker, messages, commit)
            made.work(run_id, Events(events), let_waits_time_out=let_waits_time_out)

        yield go_on


class _Worker:
    """Does what a worker and a relay do, for one run and those below it."""

    def __init__(self, name: str, messages: list[WakeUp], commit: Callable[[], None]) -> None:
        self._name = name
        self._messages = messages
        self._commit = commit
        self._runs: list[UUID] = []

    def work(self, run_id: UUID, events: Events, *, let_waits_time_out: bool) -> None:
        for _ in range(MOST_RESTS):
            self._deliver(run_id)
            self._runs = family(run_id)
            if not is_live(self._runs):
                return
            if not events.offer(self._runs):
                self._rest(run_id, events, let_waits_time_out)
        raise self._standing(run_id, f"has not ended after {MOST_RESTS} waits in a row")

    def _deliver(self, run_id: UUID) -> None:
        """Work until no message is left; those of runs elsewhere are for others."""
        self._commit()
        while self._messages:
            wake_up = self._messages.pop(0)
            if wake_up.run_id not in self._runs:
                self._runs = family(run_id)
            if wake_up.run_id in self._runs:
                self._perform(wake_up)

    def _perform(self, wake_up: WakeUp) -> None:
        with suppress(execution.StepFailed):  # its outcome is recorded
            execution.perform(wake_up.step_run_id, worker=self._name)
        self._commit()

    def _rest(self, run_id: UUID, events: Events, let_waits_time_out: bool) -> None:
        timer = next_timer(self._runs)
        if timer is None:
            raise self._standing(run_id, "hangs: nothing of it is ready, and no timer will wake it")
        why = obstacle(timer, self._runs, events, let_waits_time_out=let_waits_time_out)
        if why is not None:
            raise self._standing(run_id, why)
        pass_until(timer, self._runs)
        sweep()

    def _standing(self, run_id: UUID, why: str) -> StillWaiting:
        return StillWaiting(Run.objects.get(pk=run_id), why)
