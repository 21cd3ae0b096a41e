"""When to try again: exponential backoff with full jitter, pure arithmetic."""

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Backoff:
    """The wait before attempt n + 1: `initial · factor^(n-1)`, at most `maximum`.

    With `jitter` the wait is drawn evenly between half of that and all of it, so that steps which
    failed together do not return together.
    """

    initial: timedelta = timedelta(seconds=1)
    factor: float = 2.0
    maximum: timedelta = timedelta(minutes=10)
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.initial < timedelta(0) or self.maximum < timedelta(0) or self.factor < 1:
            raise ValueError(
                "backoff and max_backoff must not be negative, backoff_factor at least 1"
            )

    def delay(self, failed_attempts: int, *, draw: float | None = None) -> timedelta:
        """Return the wait after that many failed attempts; `draw` in [0, 1) replaces the random
        one.
        """
        try:
            full = self.initial * self.factor ** max(0, failed_attempts - 1)
        except OverflowError:
            full = self.maximum
        full = min(full, self.maximum)
        if not self.jitter:
            return full
        share = random.random() if draw is None else draw  # noqa: S311 - spreading load, not a secret
        return full * (0.5 + share / 2)
