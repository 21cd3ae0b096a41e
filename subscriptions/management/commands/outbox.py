"""`manage.py outbox`."""

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from subscriptions import backlog, unroutable
from subscriptions.backlog import COUNTED, Backlog
from subscriptions.envelope import Envelope
from subscriptions.unroutable import Unroutable

PLAIN_WIDTH = 1000  # so that nothing is wrapped in a file


class Command(BaseCommand):
    help = (
        "Show how much the relays have still to read, who reads, the partitions, and the next"
        " events and those that could not be routed; changes nothing, unless asked to route again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--route-again",
            action="store_true",
            help="have the relay read the events once more that could not be routed: after their"
            " rows were mended, say",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["route_again"]:
            self.stdout.write(f"the relay will read {unroutable.route_again():,} events again")
            return
        found = backlog.measure()
        stream: Any = self.stdout
        console = Console(
            file=stream,
            width=None if stream.isatty() else PLAIN_WIDTH,
            highlight=False,
            markup=False,
        )
        console.print(_summary(found))
        console.print(_readers(found))
        console.print(_partitions(found))
        if coming := backlog.coming():
            console.print(_events(coming))
        if found.unroutable.count:
            console.print(_unroutable(found.unroutable))


def _summary(found: Backlog) -> str:
    if not found.unread:
        return "unread: 0"
    if found.oldest_at is None:
        return f"unread: {_count(found.unread)}, all of a time that is not here yet or never was"
    return (
        f"unread: {_count(found.unread)}, the oldest of {found.oldest_at:%Y-%m-%d %H:%M:%S} UTC,"
        f" lag {found.lag.total_seconds():,.1f} s"
    )


def _count(number: int) -> str:
    return f"{number:,}" if number < COUNTED else f"{number:,} or more"


def _readers(found: Backlog) -> Table:
    made = Table("shard", "of", "relay", "unread", "lag", "moved", title="cursors")
    for reader in found.readers:
        made.add_row(
            str(reader.share.shard),
            str(reader.share.shards),
            "reads" if reader.is_led else "none: start manage.py relay",
            _count(reader.unread),
            f"{reader.lag.total_seconds():,.1f} s",
            f"{reader.moved_at:%Y-%m-%d %H:%M:%S}" if reader.moved_at else "never",
        )
    return made


def _partitions(found: Backlog) -> Table:
    made = Table("table", "days", "rows in DEFAULT", title="partitions")
    for table, days in found.days.items():
        made.add_row(table, _span(days), f"{found.in_default[table]:,}")
    return made


def _span(days: list[date]) -> str:
    return f"{len(days)}: {days[0]} to {days[-1]}" if days else "none: the relay makes them"


def _events(coming: list[Envelope]) -> Table:
    made = Table("seq", "id", "company", "event", "record or key", "recorded", title="next")
    for event in coming:
        made.add_row(
            str(event.seq),
            str(event.id),
            event.company or "platform",
            event.type or f"{event.table} {event.operation}",
            (event.key if event.type else event.record_id_text) or "",
            f"{event.recorded_at:%Y-%m-%d %H:%M:%S}",
        )
    return made


def _unroutable(found: Unroutable) -> Table:
    made = Table("seq", "id", "company", "noticed", "reason", title=f"unroutable: {found.count:,}")
    for one in found.newest:
        made.add_row(
            str(one.seq),
            str(one.id),
            one.company or "platform",
            f"{one.noticed_at:%Y-%m-%d %H:%M:%S}",
            one.reason,
        )
    return made
