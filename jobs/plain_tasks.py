"""Ordinary Celery tasks as steps of a hand-written canvas."""

from datetime import timedelta
from typing import Any, NoReturn

from celery import Task

from jobs.options import StepOptions
from jobs.outcomes import Retry
from jobs.retry import Backoff


def options_of(task: Task[Any, Any]) -> StepOptions:
    """Return the task's own Celery options as a step's: `max_retries` is one try less."""
    retries = task.max_retries
    attempts = 1_000_000 if retries is None else retries + 1
    backoff = Backoff(timedelta(seconds=task.default_retry_delay), 1.0, jitter=False)
    limit = task.soft_time_limit or task.time_limit
    timeout = timedelta(seconds=limit) if limit else StepOptions.timeout
    return StepOptions(attempts=attempts, backoff=backoff, timeout=timeout)


def call_task(task: Task[Any, Any], attempt: int, arguments: dict[str, Any]) -> Any:
    """Call the task's function; its `self.retry()` asks for another attempt, other failures are
    final, as in Celery.
    """
    args, kwargs = arguments.get("args") or [], arguments.get("kwargs") or {}
    task.push_request(args=args, kwargs=kwargs, retries=attempt - 1, called_directly=False)
    own = task.__dict__.get("retry")
    task.retry = _retry  # type: ignore[method-assign] # for this call: it would send a message
    try:
        return task.run(*args, **kwargs)
    finally:
        task.pop_request()
        if own is None:
            del task.retry
        else:
            task.retry = own  # type: ignore[method-assign]


def _retry(
    args: Any = None,
    kwargs: Any = None,
    exc: BaseException | None = None,
    throw: bool = True,
    eta: Any = None,
    countdown: float | None = None,
    max_retries: int | None = None,
    **_: Any,
) -> NoReturn:
    asked = Retry(str(exc or "retry asked for"), after=countdown)
    raise asked from exc
