"""The options of steps and workflows and what each takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, get_args

from jobs.errors import DefinitionError
from jobs.limits import Debounce, Limit, Rate
from jobs.retry import Backoff
from jobs.schedules import Schedule

OnFailure = Literal["rollback", "continue", "skip_rest"]
MAX_PRIORITY = 9


@dataclass(frozen=True)
class StepOptions:
    """How a step is tried; see the authoring contract for each."""

    attempts: int = 3
    backoff: Backoff = field(default_factory=Backoff)
    permanent_on: tuple[type[Exception], ...] = ()
    queue: str | None = None
    timeout: timedelta = timedelta(minutes=5)
    atomic: bool = False
    on_failure: OnFailure = "rollback"
    concurrency: Limit | None = None
    rate: Rate | None = None
    pivot: bool = False


@dataclass(frozen=True)
class WorkflowOptions:
    """How a workflow's runs are admitted, kept and ended; keys are functions of the inputs.

    `on_failure` is the name of the step that is given the error, `schedule` an `Every` or `Cron`. A
    time-out that the author did not give is extended by the declared sleeps and waits.
    """

    timeout: timedelta = timedelta(hours=24)
    is_timeout_extended: bool = True
    retention: timedelta = timedelta(days=30)
    concurrency: Limit | None = None
    rate: Rate | None = None
    priority: int = 0
    singleton: Callable[..., Any] | None = None
    debounce: Debounce | None = None
    idempotency: Callable[..., Any] | None = None
    schedule: Schedule | None = None
    on_failure: str | None = None


def check_options(options: StepOptions, where: str) -> None:
    """Raise DefinitionError for what could only fail at run time; `where` is `file:line`."""
    if type(options.attempts) is not int or options.attempts < 1:
        raise DefinitionError(f"{where}: attempts={options.attempts!r}: it takes 1 or more")
    permanent = options.permanent_on
    if not isinstance(permanent, tuple) or not all(
        isinstance(kind, type) and issubclass(kind, Exception) for kind in permanent
    ):
        raise DefinitionError(
            f"{where}: permanent_on={permanent!r}: it takes a tuple of exception types, such as"
            " (ValueError,)"
        )
    for name in ("atomic", "pivot", "jitter"):
        value = options.backoff.jitter if name == "jitter" else getattr(options, name)
        _check(type(value) is bool, where, name, value, "True or False")
    _check_texts(where, queue=options.queue)
    _check_duration(where, "timeout", options.timeout)
    known = get_args(OnFailure)
    allowed = " or ".join(repr(name) for name in known)
    _check(options.on_failure in known, where, "on_failure", options.on_failure, allowed)
    _check_limits(where, options.concurrency, options.rate)


def check_workflow_options(options: WorkflowOptions, where: str) -> None:
    """As `check_options`, for those of a workflow."""
    _check_duration(where, "timeout", options.timeout)
    _check_duration(where, "retention", options.retention)
    _check_limits(where, options.concurrency, options.rate)
    priority = options.priority
    in_range = type(priority) is int and 0 <= priority <= MAX_PRIORITY
    _check(in_range, where, "priority", priority, f"0 to {MAX_PRIORITY}, the higher the sooner")
    _check(
        options.debounce is None or isinstance(options.debounce, Debounce),
        where,
        "debounce",
        options.debounce,
        "a Debounce, such as Debounce(timedelta(seconds=30), key=lambda order: order.id)",
    )
    schedule = options.schedule
    _check(
        schedule is None or isinstance(schedule, Schedule),
        where,
        "schedule",
        schedule,
        "an Every or a Cron, such as Every(minutes=60)",
    )
    for name in ("singleton", "idempotency"):
        key = getattr(options, name)
        allowed = f"a function of the inputs, such as {name}=lambda order: order.id"
        _check(key is None or callable(key), where, name, key, allowed)
    if options.singleton is not None and options.debounce is not None:
        raise DefinitionError(
            f"{where}: singleton and debounce exclude each other: the one refuses a second start,"
            " the other lets it replace the first; choose one"
        )


def _check_limits(where: str, concurrency: Any, rate: Any) -> None:
    is_limit = concurrency is None or isinstance(concurrency, Limit)
    _check(is_limit, where, "concurrency", concurrency, "a Limit, such as Limit(5)")
    example = "a Rate, such as Rate(100, per=timedelta(minutes=1))"
    _check(rate is None or isinstance(rate, Rate), where, "rate", rate, example)


def _check_duration(where: str, name: str, value: Any) -> None:
    is_duration = isinstance(value, timedelta) and value > timedelta(0)
    _check(is_duration, where, name, value, "a timedelta above zero, such as timedelta(minutes=5)")


def _check_texts(where: str, **values: Any) -> None:
    for name, value in values.items():
        is_text = value is None or (isinstance(value, str) and bool(value))
        _check(is_text, where, name, value, "a name")


def _check(holds: bool, where: str, name: str, value: Any, allowed: str) -> None:
    if not holds:
        raise DefinitionError(f"{where}: {name}={value!r}: it takes {allowed}")
