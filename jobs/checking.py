"""What is refused of the functions of steps and workflows, each with file, line and remedy."""

import inspect
from collections.abc import Callable, Collection
from typing import Any

from jobs import shapes
from jobs.canvas import OWN_TASKS
from jobs.context import Context
from jobs.errors import DefinitionError
from jobs.fitting import fits
from jobs.limits import misfit
from jobs.plan import COMPENSATE
from jobs.sources import gives_undo_data
from jobs.tracing import caller
from jobs.values import place

MAX_NAME = 200


def check_function(fn: Callable[..., Any], name: str) -> None:
    """Refuse functions that a worker cannot call like any other."""
    if inspect.iscoroutinefunction(fn) or inspect.isasyncgenfunction(fn):
        raise DefinitionError(
            f"{place(fn)}: {name!r} is async; workers run plain functions: call asyncio.run()"
            f" inside one"
        )
    if inspect.isgeneratorfunction(fn):
        raise DefinitionError(
            f"{place(fn)}: {name!r} is a generator, whose values cannot be stored; use a list"
        )


def check_parentheses(given: object, decorator: str) -> None:
    """Refuse `@step` for `@step(…)`: what is given by position is the function below it."""
    if given is not None:
        raise DefinitionError(
            f"{caller()}: write @{decorator}(name=…), with parentheses, above the function"
        )


def check_name(name: str, where: str) -> None:
    """Refuse names that do not fit the rows, or are the platform's own."""
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise DefinitionError(f"{where}: name={name!r:.80}: a name has 1 to {MAX_NAME} characters")
    if "[" in name or "]" in name or "\0" in name:
        raise DefinitionError(
            f"{where}: the name {name!r} holds a bracket or NUL; 'name[17]' is item 17 of an each()"
        )
    if name.endswith(COMPENSATE) or name.startswith("celery.") or name in OWN_TASKS:
        raise DefinitionError(
            f"{where}: the name {name!r} is the platform's own: a step's does not end in"
            f" {COMPENSATE!r}, begin with 'celery.' or equal one of {', '.join(sorted(OWN_TASKS))}"
        )


def check_context(fn: Callable[..., Any], wanted: str, *, most: int | None = None) -> None:
    """Refuse a function whose first parameter is no context, or that has more than `most`."""
    parameters = list(inspect.signature(fn).parameters)
    is_first = bool(parameters) and shapes.callable_hints(fn).get(parameters[0]) is Context
    if not is_first or (most is not None and len(parameters) > most):
        raise DefinitionError(f"{place(fn)}: {wanted}")


def check_keys(parameters: Collection[str], where: str, **limits: Any) -> None:
    """Refuse keys that cannot take the inputs; each is a limit with a key, or the function."""
    for name, limit in limits.items():
        key = getattr(limit, "key", limit)
        if key is not None and (problem := misfit(key, parameters)):
            raise DefinitionError(f"{where}: the key of {name} {problem}")


def check_undo_fits(
    fn: Callable[..., Any], output: Any, compensation: Callable[..., Any], argument: Any
) -> None:
    """Refuse a compensation that could not take the output, where it is given nothing else."""
    if fits(output, argument) or gives_undo_data(fn):
        return
    raise DefinitionError(
        f"{place(compensation)}: the compensation takes {shapes.name_of(argument)}, and the step at"
        f" {place(fn)} returns {shapes.name_of(output)}; take that, or give other data with"
        " ctx.undo_with(…) or `return Done(value, undo=…)`"
    )
