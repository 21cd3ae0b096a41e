"""Past events, looked at in pages by `seq`, within limits of time and bytes.

However many events there are, and however few of them are asked for, a look ends in time and says
how far it came.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from subscriptions.cursor import READABLE_COLUMNS, within
from subscriptions.envelope import Envelope
from subscriptions.matching import TRUNCATE
from subscriptions.models import Subscription
from subscriptions.statements import OutOfTime, fetch_in_time

PAGE = 5000  # events, of which those asked for are read whole
MOST_AT_ONCE = 500
BYTES_AT_ONCE = 4_000_000  # as stored, which is compressed
# `seq` and `recorded_at` are drawn one after the other: their orders differ by moments, or by what
# a clock was set back.
SLACK = timedelta(minutes=5)

_TIME = within("recorded_at")

# The first and the last of a page, and those asked for between them: no document is read for that.
_PAGE = """
WITH page AS (
    SELECT e.seq, {time} AS recorded_at, row_number() OVER (ORDER BY e.seq {order}) AS place,
        {asked} AS is_asked, COALESCE(pg_column_size(e.payload), 0)
            + COALESCE(pg_column_size(e.new), 0) + COALESCE(pg_column_size(e.old), 0) AS size
    FROM event_system_event e WHERE e.seq {beyond} %(at)s ORDER BY e.seq {order} LIMIT %(page)s
)
SELECT seq, recorded_at, place, is_asked, size FROM page
WHERE is_asked OR place IN (1, (SELECT max(place) FROM page)) ORDER BY place
"""

_IS_OF_SOURCE = """COALESCE(
    (%(company)s::text IS NULL OR e.company = %(company)s
        OR %(is_truncate)s AND e.operation = 'TRUNCATE' AND e.company IS NULL)
    AND (e."table" = %(table)s OR %(table)s::text IS NULL AND e.type IS NOT NULL)
    AND (%(since)s::timestamptz IS NULL OR e.recorded_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR e.recorded_at < %(until)s), false)"""

# A time that Python has none for is no delivery's: the relay sets such an event aside.
_IS_MISSED = f"""(CASE WHEN {_IS_OF_SOURCE} AND e.recorded_at = {_TIME} THEN NOT EXISTS (
    SELECT FROM event_system_delivery d
    WHERE d.event_seq = e.seq AND d.event_at = e.recorded_at
        AND d.subscription_id = %(subscription)s) ELSE false END)"""

NEWEST_FIRST = _PAGE.format(order="DESC", beyond="<", asked=_IS_OF_SOURCE, time=_TIME)
MISSED = _PAGE.format(order="ASC", beyond=">", asked=_IS_MISSED, time=_TIME)

_EVENTS = f"""
SELECT {READABLE_COLUMNS} FROM event_system_event e WHERE e.seq = ANY (%(seqs)s::bigint[])
ORDER BY array_position(%(seqs)s::bigint[], e.seq)
"""  # noqa: S608 - constants

_BOUNDS = "SELECT COALESCE(min(seq), 0), COALESCE(max(seq), 0) FROM event_system_event"
_AT = f"""
SELECT {_TIME} FROM event_system_event e WHERE e.seq >= %s ORDER BY e.seq LIMIT 1
"""  # noqa: S608 - constants


@dataclass(frozen=True)
class Limits:
    """When a look ends: after so many seconds, or bytes of JSON."""

    seconds: float
    most_bytes: int | None = None


TRIAL = Limits(seconds=5, most_bytes=32_000_000)
REPLAY = Limits(seconds=20)


class _Row(NamedTuple):
    seq: int
    recorded_at: datetime
    place: int
    is_asked: bool
    size: int


class Past:
    """The past events that a subscription asks for by its source and company, of some time.

    During and after a walk, `looked_at` counts the events that were passed, of whatever source,
    `to` is when the last of them was recorded, and `is_whole` says that none was left.
    """

    def __init__(
        self,
        wanted: Subscription,
        *,
        limits: Limits,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        self.looked_at = 0
        self.to: datetime | None = None
        self.is_whole = False
        self._limits = limits
        self._ends_at = time.monotonic() + limits.seconds
        self._bytes = 0
        self._since = None if since is None else _moved(since, -SLACK)
        self._until = None if until is None else _moved(until, SLACK)
        self._given = {
            "company": wanted.company,
            "table": wanted.table,
            "subscription": wanted.pk,
            "is_truncate": TRUNCATE in wanted.operations,
            "since": since,
            "until": until,
            "page": PAGE,
        }

    @property
    def is_over(self) -> bool:
        """Whether a limit is reached."""
        most = self._limits.most_bytes
        return self._left <= 0 or (most is not None and self._bytes >= most)

    def newest_first(self) -> Iterator[list[Envelope]]:
        """Yield them in parts of 500 events or 4 MB at most, unless a single one is larger."""
        since = self._since
        yield from self._walk(
            NEWEST_FIRST, 2**63 - 1, lambda newest: since is not None and newest < since
        )

    def missed(self) -> Iterator[list[Envelope]]:
        """Yield those without a delivery to the subscription, the oldest first, in such parts."""
        until = self._until
        yield from self._walk(MISSED, None, lambda oldest: until is not None and oldest > until)

    @property
    def _left(self) -> float:
        return self._ends_at - time.monotonic()

    def _walk(
        self, query: str, at: int | None, is_beyond: Callable[[datetime], bool]
    ) -> Iterator[list[Envelope]]:
        """Yield the parts of page after page until `is_beyond` says of the first event of a page
        that nothing behind it is asked for. Without `at`, begin at `since`.
        """
        try:
            at = self._before() if at is None else at
            while not self.is_over:
                given = {**self._given, "at": at}
                rows = [_Row(*row) for row in fetch_in_time(query, given, seconds=self._left)]
                if not (yield from self._parts(rows)):
                    return
                if not rows or rows[-1].place < PAGE or is_beyond(rows[0].recorded_at):
                    self.is_whole = True
                    return
                at = rows[-1].seq
        except OutOfTime:
            return

    def _parts(self, rows: Sequence[_Row]) -> Generator[list[Envelope], None, bool]:
        """Yield what is asked for of a page; return whether that was all of it."""
        passed = self.looked_at
        for part in _parted([row for row in rows if row.is_asked]):
            if self.is_over:
                return False
            events = self._read(part)
            self.looked_at, self.to = passed + part[-1].place, part[-1].recorded_at
            yield events
        if rows:
            self.looked_at, self.to = passed + rows[-1].place, rows[-1].recorded_at
        return True

    def _read(self, part: Sequence[_Row]) -> list[Envelope]:
        given = {"seqs": [row.seq for row in part]}
        events = [Envelope(*row) for row in fetch_in_time(_EVENTS, given, seconds=self._left)]
        self._bytes += sum(map(_size, events))
        return events

    def _before(self) -> int:
        """Return a `seq` before all that was recorded since then, by halving: no index knows times.

        About thirty probes of the index, however many events there are.
        """
        if self._since is None:
            return 0
        [(low, high)] = fetch_in_time(_BOUNDS, [], seconds=self._left)
        while high - low > PAGE:
            middle = (low + high) // 2
            [(at,)] = fetch_in_time(_AT, [middle], seconds=self._left)
            if at >= self._since:
                high = middle
            else:
                low = middle
        return int(low) - 1


def _moved(moment: datetime, by: timedelta) -> datetime:
    """Return the moment, which is UTC if it does not say, moved as far as there are times."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return aware + by
    except OverflowError:
        return aware


def _parted(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    part: list[_Row] = []
    size = 0
    for row in rows:
        if part and (len(part) == MOST_AT_ONCE or size + row.size > BYTES_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(row)
        size += row.size
    if part:
        yield part


def _size(event: Envelope) -> int:
    texts = (event.payload_text, event.new_text, event.old_text)
    return sum(len(text) for text in texts if text is not None)
