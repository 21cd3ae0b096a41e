"""Jobs: workflows of one step, written as one function."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from jobs.checking import check_parentheses
from jobs.context import Context
from jobs.definitions import Workflow
from jobs.keywords import workflow_options
from jobs.limits import Debounce, Limit, Rate
from jobs.outcomes import Done
from jobs.plan import Chain, Node
from jobs.reading import Reading, check_parameters
from jobs.schedules import Schedule
from jobs.steps import Step, step
from jobs.tracing import caller
from jobs.values import place

P = ParamSpec("P")
R = TypeVar("R")


class Job(Workflow[P, R]):
    """A workflow of the one step that has its name; `fn` is the plain function."""

    step: Step[P, R]

    def __repr__(self) -> str:
        return f"<job {self.name}>"

    def compensation(self, fn: Callable[[Context, Any], Any] | Callable[[Context], Any]) -> Any:
        """Attach the function that undoes the job when a run is cancelled after it succeeded."""
        return self.step.compensation(fn)


class JobDecorator(Protocol):
    """What `job(...)` returns; see `StepDecorator`."""

    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], Done[R]]) -> Job[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[Context, P], R]) -> Job[P, R]: ...


def job(
    given: None = None,
    /,
    *,
    name: str | None = None,
    queue: str = "default",
    attempts: int = 3,
    backoff: timedelta | float = 1.0,
    backoff_factor: float = 2.0,
    max_backoff: timedelta | float = 600.0,
    jitter: bool = True,
    timeout: timedelta | float = 300.0,
    permanent_on: tuple[type[Exception], ...] = (),
    atomic: bool = False,
    concurrency: Limit | None = None,
    rate: Rate | None = None,
    retention: timedelta | float = timedelta(days=30),
    priority: int = 0,
    singleton: Callable[..., Any] | None = None,
    debounce: Debounce | None = None,
    idempotency: Callable[..., Any] | None = None,
    schedule: Schedule | None = None,
    on_failure: Step[Any, Any] | None = None,
) -> JobDecorator:
    """Make a function `(ctx, payload) -> result` a step and a workflow of only that step.

    The options up to `rate` are the step's, the others the workflow's; see `step` and `workflow`.
    Raises `DefinitionError` at import, naming file, line and remedy.
    """
    check_parentheses(given, "job")
    where = caller()
    make_step = step(
        name=name,
        attempts=attempts,
        backoff=backoff,
        backoff_factor=backoff_factor,
        max_backoff=max_backoff,
        jitter=jitter,
        timeout=timeout,
        permanent_on=permanent_on,
        atomic=atomic,
        concurrency=concurrency,
        rate=rate,
    )
    options = workflow_options(
        where,
        retention=retention,
        priority=priority,
        singleton=singleton,
        debounce=debounce,
        idempotency=idempotency,
        schedule=schedule,
        on_failure=on_failure,
    )

    def decorate(fn: Callable[..., Any]) -> Job[Any, Any]:
        check_parameters(fn, place(fn), skip_first=True)
        made = make_step(fn)
        found: Job[Any, Any] = Job(_reading(made), name=made.name, queue=queue, options=options)
        found.step = made
        found.fn = fn
        found.__doc__ = fn.__doc__
        return found

    return cast(JobDecorator, decorate)


def _reading(made: Step[Any, Any]) -> Reading:
    inputs = {name: {"$input": name, "path": []} for name in made.inputs}
    body = Chain((Node(made.name, made.name, inputs),))
    result = {"$ref": made.name, "path": []}
    return Reading(place(made.fn), made.inputs, made.output, body, result)
