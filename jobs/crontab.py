"""Crontab expressions: the five fields of crontab(5) and the moments that they name; no Django.

A field is `*`, a number, a range `a-b`, a step `*/n` or `a-b/n`, or a list of these with commas;
months and days of the week may be named by their first three letters, and Sunday is 0 or 7. Where
both days are restricted either is enough, as crontab(5) has it; where one of them begins with `*`,
both must fit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from zoneinfo import ZoneInfo

from jobs.counting import counted

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
DAY = timedelta(days=1)
# A leap day on one of two days of the week comes back within 40 years, 2100 included.
HORIZON = timedelta(days=366 * 60)


@dataclass(frozen=True)
class Field:
    """What one of the five may hold; `names` stand for `low`, `low + 1`, …"""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{named}"

    def number(self, text: str) -> int:
        """Return what a number or name stands for; raises ValueError."""
        if text.lower() in self.names:
            return self.low + self.names.index(text.lower())
        if not (text.isascii() and text.isdigit()) or not self.low <= int(text) <= self.high:
            raise ValueError(f"{self.name} {text!r}: {self.allowed} is allowed")
        return int(text)


MINUTE = Field("minute", 0, 59)
HOUR = Field("hour", 0, 23)
DAY_OF_MONTH = Field("day of the month", 1, 31)
MONTH = Field("month", 1, 12, MONTHS)
DAY_OF_WEEK = Field("day of the week", 0, 7, WEEKDAYS)


@dataclass(frozen=True)
class Values:
    """A field's numbers in order; `text` is the normal way of writing them.

    `is_star` says that it was written `*` or `*/n`.
    """

    numbers: tuple[int, ...]
    text: str
    is_star: bool = False


@dataclass(frozen=True)
class Crontab:
    """An expression that has been read: which minutes, hours and days."""

    minute: Values
    hour: Values
    day: Values
    month: Values
    weekday: Values

    def __str__(self) -> str:
        fields = (self.minute, self.hour, self.day, self.month, self.weekday)
        return " ".join(field.text for field in fields)

    def fits(self, day: date) -> bool:
        """Whether there are moments on this day."""
        if day.month not in self.month.numbers:
            return False
        by_month = day.day in self.day.numbers
        by_week = day.isoweekday() % 7 in self.weekday.numbers
        if self.day.is_star or self.weekday.is_star:
            return by_month and by_week
        return by_month or by_week

    def between(self, after: datetime, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """Yield the moments later than `after` and not later than `until`, in order, in UTC."""
        newest = after
        day, last = after.astimezone(zone).date() - DAY, until.astimezone(zone).date() + DAY
        while day <= last:
            if self.fits(day):
                for moment in moments(self, zone, day):
                    if newest < moment <= until:
                        newest = moment
                        yield moment
            day += DAY

    def latest(self, until: datetime, zone: ZoneInfo) -> datetime:
        """Return the newest moment that is not later than `until`, in UTC."""
        day = until.astimezone(zone).date() + DAY
        last = day - HORIZON
        while day >= last:
            if self.fits(day):
                passed = [moment for moment in moments(self, zone, day) if moment <= until]
                if passed:
                    return passed[-1]
            day -= DAY
        raise ValueError(f"{self} has no moment in {HORIZON.days} days")


@lru_cache(maxsize=256)
def moments(crontab: Crontab, zone: ZoneInfo, day: date) -> tuple[datetime, ...]:
    """Return the moments of one local day, in order, in UTC.

    Where the clock is put forward, what falls into the gap happens as much later as the clock
    jumped (02:30 at what is then called 03:30), once if that is a moment anyway. Where it is put
    back, an hour written with `*` happens both times, a fixed hour the first time only.
    """
    found = set()
    for hour in crontab.hour.numbers:
        for minute in crontab.minute.numbers:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            found.add(local.astimezone(UTC))
            again = local.replace(fold=1).astimezone(UTC)
            is_repeated = again.astimezone(zone).replace(fold=0) == local and again not in found
            if crontab.hour.is_star and is_repeated:
                found.add(again)
    return tuple(sorted(found))


def read(expression: str) -> Crontab:
    """Return what an expression means; raises ValueError that says what is wrong and allowed."""
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(
            f"it has {counted(len(fields), 'field')}; five are needed: minute, hour, day of the"
            " month, month, day of the week"
        )
    minute, hour, day, month, weekday = fields
    made = Crontab(
        _values(minute, MINUTE),
        _values(hour, HOUR),
        _values(day, DAY_OF_MONTH),
        _values(month, MONTH),
        _values(weekday, DAY_OF_WEEK),
    )
    either_day_is_enough = not (made.day.is_star or made.weekday.is_star)
    exists = any(made.day.numbers[0] <= LONGEST_MONTHS[m - 1] for m in made.month.numbers)
    if not exists and not either_day_is_enough:
        raise ValueError(f"day {day} does not exist in month {month}: it would never happen")
    return made


def _values(text: str, field: Field) -> Values:
    if text == "*":
        return Values(_star(field, 1), "*", is_star=True)
    if text.startswith("*/") and "," not in text:
        step = _step(text[2:], field, size=len(_star(field, 1)))
        return Values(_star(field, step), f"*/{step}" if step > 1 else "*", is_star=True)
    numbers = tuple(sorted({n for part in text.split(",") for n in _part(part, field)}))
    return Values(numbers, _written(numbers))


def _star(field: Field, step: int) -> tuple[int, ...]:
    high = 6 if field is DAY_OF_WEEK else field.high
    return tuple(range(field.low, high + 1, step))


def _part(text: str, field: Field) -> list[int]:
    span, slash, step_text = text.partition("/")
    if span == "*":
        low, high = field.low, _star(field, 1)[-1]
    elif "-" in span:
        low, high = _range(span, field)
    elif slash:
        raise ValueError(f"{field.name} {text!r}: a step follows * or a range, such as a-b/n")
    else:
        low = high = field.number(span)
    step = _step(step_text, field, size=high - low + 1) if slash else 1
    numbers = range(low, high + 1, step)
    return [number % 7 for number in numbers] if field is DAY_OF_WEEK else list(numbers)


def _range(span: str, field: Field) -> tuple[int, int]:
    first, _, last = span.partition("-")
    low, high = field.number(first), field.number(last)
    if field is DAY_OF_WEEK and high == 0 < low:
        high = 7  # fri-sun
    if high < low:
        raise ValueError(
            f"{field.name} {span!r}: a range goes upwards; write the two parts with a comma"
        )
    return low, high


def _step(text: str, field: Field, *, size: int) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= size:
        raise ValueError(f"{field.name}: the step {text!r} must be 1 to {size}")
    return int(text)


def _written(numbers: tuple[int, ...]) -> str:
    """Write numbers with runs of three or more as ranges: 1,2,3,7 as 1-3,7."""
    parts = []
    runs = groupby(enumerate(numbers), key=lambda item: item[1] - item[0])
    for run in ([number for _, number in group] for _, group in runs):
        parts += [f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(number) for number in run]
    return ",".join(parts)
