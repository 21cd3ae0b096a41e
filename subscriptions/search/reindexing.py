"""Rebuild a subscription's entries from its table's rows, while events go on.

The new entries stand as of a number of their own in the outbox's order. It is drawn first; then all
transactions are waited for that may have drawn a lower one and are still open; then the rows are
read. So what a row's entry says holds all events before its number, and each one after it wins,
whether it comes while rows are read, before or after.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import structlog
from django.db import DataError, connection

from subscriptions.documents import parse
from subscriptions.errors import InvalidSubscription, UnknownSubscription
from subscriptions.models import Subscription
from subscriptions.patterns import Rows, compile_filter
from subscriptions.search import entries, index
from subscriptions.search.index import Entry
from subscriptions.search.source import Row, source_of
from subscriptions.validation import check_definition, watched_columns

log = structlog.get_logger(__name__)

PAUSE_SECONDS = 0.1

# Whoever inserts into the outbox holds this lock to the end of his transaction, prepared ones too,
# and has it before he draws a number.
WRITERS = """
SELECT DISTINCT l.virtualtransaction, l.pid FROM pg_locks l
WHERE l.locktype = 'relation' AND l.relation = 'event_system_event'::regclass
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.mode = 'RowExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
"""

Writer = tuple[str, int | None]


@dataclass(frozen=True)
class Progress:
    """How far it is; `waits_for` are the server processes (0: a prepared transaction) whose open
    transactions are waited for.
    """

    done: int = 0
    total: int | None = None
    waits_for: tuple[int, ...] = ()


@dataclass
class Reindexed:
    """What became of the rows: indexed, left out by the filter, or too odd; and what was removed
    because its record is gone.
    """

    indexed: int = 0
    left_out: int = 0
    failed: int = 0
    removed: int = 0


def reindex(
    subscription: Subscription,
    *,
    company: str | None = None,
    tell: Callable[[Progress], object] = lambda progress: None,
) -> Reindexed:
    """Rebuild the entries of a SEARCH subscription, of one company or of all that it sees.

    Broken off, it is simply run again. Raises InvalidSubscription, or UnknownSubscription if it
    was deleted meanwhile.
    """
    if subscription.handler_type != "SEARCH" or subscription.table is None:
        raise InvalidSubscription("handler_type", "only a SEARCH subscription can be reindexed")
    config = cast(entries.Shape, check_definition(subscription, watched_columns()).config)
    if None not in (subscription.company, company) and subscription.company != company:
        raise InvalidSubscription("company", f"it is {subscription.company!r}, not {company!r}")
    only = subscription.company if subscription.company is not None else company
    source = source_of(subscription.table, company=only)
    result = Reindexed()
    if source is None:
        return result
    seq = _draw()
    _wait_for_writers(tell)
    total = source.count()
    tell(Progress(0, total))
    rebuild = _Rebuild(subscription, config, seq, result)
    for page in source.pages():
        rebuild.put(page)
        done = result.indexed + result.left_out + result.failed
        tell(Progress(done, max(done, total)))
    companies = None if company is None or subscription.company is not None else [company]
    result.removed = index.remove_older(subscription.pk, seq=seq, companies=companies)
    return result


class _Rebuild:
    """Pages of rows on their way into the index, as of `seq`."""

    def __init__(
        self, subscription: Subscription, config: entries.Shape, seq: int, result: Reindexed
    ) -> None:
        self._subscription = subscription
        self._config = config
        self._seq = seq
        self._result = result
        self._filter = compile_filter(subscription.filter)

    def put(self, page: list[Row]) -> None:
        ready = [entry for row in page if (entry := self._entry(row)) is not None]
        try:
            self._write(ready)
        except DataError:
            for entry in ready:
                try:
                    self._write([entry])
                except DataError as error:
                    self._fail(entry.record_key, error)

    def _entry(self, row: Row) -> Entry | None:
        """Return the row's entry, or None if the filter leaves it out: as if just inserted."""
        if not self._filter.matches(Rows(row.columns, after=row.columns)):
            self._result.left_out += 1
            return None
        try:
            content = entries.content(
                self._config, row.columns, record_id=parse(row.record_key), company=row.company
            )
        except (ValueError, ArithmeticError, RecursionError) as error:
            self._fail(row.record_key, error)
            return None
        return Entry(
            subscription_id=self._subscription.pk,
            company=row.company,
            table=self._subscription.table or "",
            record_key=row.record_key,
            seq=self._seq,
            content=content,
        )

    def _write(self, ready: list[Entry]) -> None:
        if ready and not index.put(ready):
            raise UnknownSubscription(self._subscription.pk)
        self._result.indexed += len(ready)

    def _fail(self, record_key: str, error: Exception) -> None:
        self._result.failed += 1
        log.warning(
            "record_not_indexed",
            subscription=self._subscription.pk,
            record=record_key,
            error=f"{type(error).__name__}: {error}"[:500],
        )


def _draw() -> int:
    """Return a number of the outbox's order that no event has."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('event_system_event_seq')")
        return int(cursor.fetchone()[0])


def _writers() -> set[Writer]:
    with connection.cursor() as cursor:
        cursor.execute(WRITERS)
        return set(cursor.fetchall())


def _wait_for_writers(tell: Callable[[Progress], object]) -> None:
    """Wait until all are done who write events right now; those who come later do not count."""
    waited_for = _writers()
    while waited_for:
        tell(Progress(waits_for=tuple(sorted(pid or 0 for _, pid in waited_for))))
        time.sleep(PAUSE_SECONDS)
        waited_for &= _writers()
