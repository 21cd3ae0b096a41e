"""The options of steps and workflows and what each takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from jobs.errors import DefinitionError
from jobs.limits import Limit, Rate
from jobs.retry import Backoff

OnFailure = Literal["rollback", "continue", "skip_rest"]


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

    `on_failure` is the name of the step that is given the error, `schedule` an `Every` or `Cron`,
    `debounce` the wait after the last start of its key.
    """

    timeout: timedelta = timedelta(hours=24)
    retention: timedelta = timedelta(days=30)
    concurrency: Limit | None = None
    rate: Rate | None = None
    priority: int = 0
    singleton: Callable[..., Any] | None = None
    debounce: tuple[timedelta, Callable[..., Any]] | None = None
    idempotency: Callable[..., Any] | None = None
    schedule: Any = None
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
