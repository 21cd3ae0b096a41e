"""How long a failed delivery waits: pure arithmetic over a subscription's `backoff`.

`{}` is one second, doubled each time, with jitter; `{"base": 5, "factor": 3, "longest": 600,
"jitter": false}` says it otherwise (seconds); `"standard"` is the schedule of Standard Webhooks:
eight tries over 28 hours, whatever the subscription's `attempts` are.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

STANDARD = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18000, 36000, 36000)
)


class Exponential(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    base: float = Field(default=1.0, gt=0, le=86_400)
    factor: float = Field(default=2.0, ge=1, le=10)
    longest: float = Field(default=3600.0, gt=0, le=86_400)
    jitter: bool = True


@dataclass(frozen=True)
class Backoff:
    """Delays in the order of the failures; the last one repeats."""

    exponential: Exponential | None

    def delay(self, failures: int, *, rand: Callable[[], float] = random.random) -> timedelta:
        """Return the wait after so many failures (from 1); jitter makes it 0.5 to 1.5 times as
        long.
        """
        if self.exponential is None:
            return STANDARD[min(failures, len(STANDARD)) - 1]
        rule = self.exponential
        # 2.0 ** 5000 would overflow; by then `longest` has been reached.
        seconds = min(rule.base * rule.factor ** min(failures - 1, 64), rule.longest)
        if rule.jitter:
            seconds *= 0.5 + rand()
        return timedelta(seconds=seconds)


def parse(value: Any) -> Backoff:
    """Return the schedule that the JSON value describes, or raise ValueError saying what is
    allowed.
    """
    if value == "standard":
        return Backoff(None)
    try:
        return Backoff(Exponential.model_validate(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f'{place or "value"}: {first["msg"]}; takes "standard" or an object of '
            f"{', '.join(Exponential.model_fields)}"
        ) from None
