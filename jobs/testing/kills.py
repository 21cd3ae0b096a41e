"""A process that dies at a named point, without dying."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from jobs.crashpoints import Point, listening

# What Django says to the database when a block is left by an exception; a death says it too.
_ROLLBACKS = ("ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT")


class Killed(BaseException):
    """The process is dead from here on; nothing catches it but `killed_at`."""


def crash_points() -> tuple[str, ...]:
    """Return the names of the engine's commit points, for `crash_at`.

    `"claimed"` is the first time that a run comes to the point, `"claimed#3"` the third.
    """
    return tuple(str(point) for point in Point)


class Kill:
    """A death at one point; `happened` says whether the point was reached."""

    def __init__(self, point: str) -> None:
        name, _, number = point.partition("#")
        if name not in crash_points() or (number and not number.isdecimal()):
            raise ValueError(
                f"no crash point {point!r}; it takes one of {', '.join(crash_points())}, with"
                " #2 behind it for the second time that it is reached"
            )
        self.point = point
        self.happened = False
        self._name = name
        self._left = int(number or 1)

    def at(self, point: Point) -> None:
        self._refuse()
        if point == self._name:
            self._left -= 1
            self.happened = self._left == 0
            self._refuse()

    def around_statement(
        self, execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any
    ) -> Any:
        """Let a dead process say no more to the database: code in `finally` blocks would."""
        if not str(sql).startswith(_ROLLBACKS):
            self._refuse()
        return execute(sql, parameters, many, context)

    def _refuse(self) -> None:
        if self.happened:
            raise Killed(self.point)


@contextmanager
def killed_at(point: str) -> Iterator[Kill]:
    """Let the block end as if its process were killed when it comes to the point of that name.

    What was committed stays, an open transaction is rolled back, what was not sent is lost. The
    rest of the block does not run. Code in `finally` blocks does, other than in a real kill, but
    says nothing to the database any more, and sends nothing.
    """
    kill = Kill(point)
    try:
        with listening(kill.at), connection.execute_wrapper(kill.around_statement):
            yield kill
    except Killed:
        if not kill.happened:  # that of a block around this one
            raise


@contextmanager
def recorded_points() -> Iterator[list[str]]:
    """Write down the points that the block comes to, each as `crash_at` takes it.

    A test that kills a run at each of them misses none.
    """
    found: list[str] = []
    counts: Counter[str] = Counter()

    def record(point: Point) -> None:
        counts[point] += 1
        found.append(f"{point}#{counts[point]}" if counts[point] > 1 else str(point))

    with listening(record):
        yield found
