"""The keywords of `workflow(...)`, and the options that they become."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypedDict

from jobs.errors import DefinitionError
from jobs.fitting import fits
from jobs.limits import Debounce, Limit, Rate
from jobs.options import WorkflowOptions, check_workflow_options
from jobs.schedules import Schedule
from jobs.steps import Step, duration


class WorkflowKeywords(TypedDict, total=False):
    """What a workflow takes besides its name, its queue and what it does.

    `timeout` and `retention` are timedeltas or seconds.
    """

    timeout: timedelta | float | None
    retention: timedelta | float
    concurrency: Limit | None
    rate: Rate | None
    priority: int
    singleton: Callable[..., Any] | None
    debounce: Debounce | None
    idempotency: Callable[..., Any] | None
    schedule: Schedule | None
    on_failure: Step[Any, Any] | None


def workflow_options(
    where: str,
    *,
    timeout: timedelta | float | None = None,
    retention: timedelta | float = timedelta(days=30),
    on_failure: Step[Any, Any] | None = None,
    **others: Any,
) -> WorkflowOptions:
    """Return the options as they are kept; raises `DefinitionError` for what they do not take."""
    if unknown := sorted(set(others) - WorkflowKeywords.__optional_keys__):
        known = ", ".join(sorted(WorkflowKeywords.__optional_keys__))
        raise DefinitionError(f"{where}: no option {', '.join(unknown)}; there are {known}")
    options = WorkflowOptions(
        timeout=duration(timedelta(hours=24) if timeout is None else timeout, f"{where}: timeout"),
        is_timeout_extended=timeout is None,
        retention=duration(retention, f"{where}: retention"),
        on_failure=None if on_failure is None else _told_of_failure(on_failure, where),
        **others,
    )
    check_workflow_options(options, where)
    return options


def _told_of_failure(told: Any, where: str) -> str:
    if not isinstance(told, Step) or len(told.inputs) != 1:
        raise DefinitionError(
            f"{where}: on_failure={told!r}: it takes a step of one value, the error: (ctx: Context,"
            " error: dict[str, Any])"
        )
    (codec,) = told.inputs.values()
    if not fits(dict[str, Any], codec.annotation):
        raise DefinitionError(
            f"{where}: on_failure: {told!r} is given the error, a dict with type, message and node;"
            " its parameter does not take that: (ctx: Context, error: dict[str, Any])"
        )
    return told.name
