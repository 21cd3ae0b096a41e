"""A step's options and what each takes."""

from dataclasses import dataclass, field

from jobs.errors import DefinitionError
from jobs.retry import Backoff


@dataclass(frozen=True)
class StepOptions:
    """How a step is tried; see the authoring contract for each."""

    attempts: int = 3
    backoff: Backoff = field(default_factory=Backoff)
    permanent_on: tuple[type[Exception], ...] = ()
    queue: str | None = None


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
