"""When a workflow runs by itself: `Every` and `Cron`; no Django.

A schedule names slots, moments in UTC that follow from the declaration alone, so that any number of
beats agree on them whatever their clocks say.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal, NoReturn, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobs import crontab
from jobs.errors import DefinitionError
from jobs.tracing import caller

Overlap = Literal["skip", "queue", "allow"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
LONGEST = timedelta(days=366)
# A slot is on time for so long, however short `catch_up` is: beat may be restarting, or busy.
ON_TIME = timedelta(seconds=10)


class Schedule:
    """Slots, what happens when a run is still going at the next one, and how late one may start.

    `overlap`: "skip" leaves a slot out while the run of the slot before it is live (and records
    that), "queue" starts it afterwards, "allow" starts it anyway.

    `catch_up`: how far back a slot still counts that no beat was there for. None is one period: the
    newest missed slot. Of several missed slots within it, "queue" and "allow" run each, the oldest
    first; "skip" runs the newest.
    """

    def __init__(self, *, overlap: Overlap, catch_up: timedelta | None) -> None:
        if overlap not in get_args(Overlap):
            allowed = ", ".join(map(repr, get_args(Overlap)))
            self._refuse(f"overlap={overlap!r}: it takes one of {allowed}")
        if catch_up is not None and (
            not isinstance(catch_up, timedelta) or catch_up < timedelta(0)
        ):
            self._refuse(f"catch_up={catch_up!r}: it takes a timedelta of 0 or more, or None")
        self.overlap = overlap
        self.catch_up = catch_up

    def latest(self, until: datetime) -> datetime:
        """Return the newest slot that is not later than `until`."""
        raise NotImplementedError

    def slots_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the slots later than `after` and not later than `until`, in order."""
        raise NotImplementedError

    def next_after(self, moment: datetime) -> datetime:
        """Return the first slot later than the moment."""
        raise NotImplementedError

    def due(self, *, since: datetime, now: datetime, limit: int = 100) -> list[datetime]:
        """Return the slots later than `since` that are to be fired now, the oldest first."""
        newest = self.latest(now)
        after = since
        if self.catch_up is not None:
            after = max(since, now - max(self.catch_up, ON_TIME))
        if newest <= after:
            return []
        if self.catch_up is None or self.overlap == "skip":
            return [newest]
        return list(islice(self.slots_between(after, now), limit))

    def _refuse(self, problem: str) -> NoReturn:
        raise DefinitionError(f"{caller()}: {type(self).__name__}: {problem}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[Any, ...]:
        return (str(self), self.overlap, self.catch_up)


class Every(Schedule):
    """A fixed interval, given as to `timedelta`: `Every(minutes=60)`.

    Slots are aligned to 1970-01-01 00:00 UTC: every 60 minutes is on the hour, every day at
    midnight UTC. Whole seconds, 1 second to 366 days. For a time of the day or a day of the week
    use `Cron`. Raises `DefinitionError`.
    """

    def __init__(
        self,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        overlap: Overlap = "skip",
        catch_up: timedelta | None = None,
    ) -> None:
        super().__init__(overlap=overlap, catch_up=catch_up)
        try:
            self.period = timedelta(
                weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds
            )
        except (TypeError, ValueError, OverflowError) as error:
            self._refuse(f"{error}; it takes numbers, as timedelta does")
        if not SECOND <= self.period <= LONGEST or self.period % SECOND:
            self._refuse(
                f"{self.period} is not a whole number of seconds from 1 second to {LONGEST.days}"
                " days"
            )

    def __str__(self) -> str:
        return f"every {self.period.total_seconds():.0f} s"

    def __repr__(self) -> str:
        return f"Every(seconds={self.period.total_seconds():.0f})"

    def latest(self, until: datetime) -> datetime:
        return EPOCH + (until - EPOCH) // self.period * self.period

    def slots_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        slot = self.next_after(after)
        while slot <= until:
            yield slot
            slot += self.period

    def next_after(self, moment: datetime) -> datetime:
        return self.latest(moment) + self.period


class Cron(Schedule):
    """A crontab expression in a time zone: `Cron("0 10 * * mon-fri", timezone="Asia/Singapore")`.

    Five fields as in crontab(5); `jobs.crontab` says what each may hold, and what happens where the
    clock is put forward or back. Raises `DefinitionError`.
    """

    def __init__(
        self,
        expression: str,
        *,
        timezone: str = "UTC",
        overlap: Overlap = "skip",
        catch_up: timedelta | None = None,
    ) -> None:
        super().__init__(overlap=overlap, catch_up=catch_up)
        self.expression = expression
        self.timezone = timezone
        try:
            self.crontab = crontab.read(expression)
        except (ValueError, AttributeError) as error:
            self._refuse(f"{expression!r}: {error}")
        try:
            self._zone = ZoneInfo(timezone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            self._refuse(f"timezone={timezone!r} is unknown; it takes a name such as 'Asia/Tokyo'")

    def __str__(self) -> str:
        return f"{self.crontab} {self.timezone}"

    def __repr__(self) -> str:
        return f"Cron({self.expression!r}, timezone={self.timezone!r})"

    def latest(self, until: datetime) -> datetime:
        return self.crontab.latest(until, self._zone)

    def slots_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        return self.crontab.between(after, until, self._zone)

    def next_after(self, moment: datetime) -> datetime:
        return next(self.slots_between(moment, moment + crontab.HORIZON))
