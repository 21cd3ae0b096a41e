"""`manage.py reindex [SUBSCRIPTION] [--company C]`."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q, QuerySet
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from subscriptions.errors import SubscriptionsError
from subscriptions.models import Subscription
from subscriptions.search.reindexing import Progress, Reindexed, reindex

LINE_EVERY = 2.0  # seconds, where there is no terminal

Tell = Callable[[Progress], None]


class Command(BaseCommand):
    help = (
        "Rebuild the search index from the tables' rows, while events go on: of one SEARCH"
        " subscription, by name or id, or of all that are active. What has no record any more is"
        " removed. Broken off, run it again. Exit code 1 if a row could not be indexed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subscription", nargs="?", help="a name or an id; default: all")
        parser.add_argument(
            "--company",
            help="only this company's subscriptions, and its rows of the platform's subscriptions",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        company = options["company"]
        is_well = True
        for subscription in _chosen(options["subscription"], company):
            began = time.monotonic()
            try:
                with self._told(str(subscription)) as tell:
                    found = reindex(subscription, company=company, tell=tell)
            except KeyboardInterrupt:
                self.stderr.write(f"{subscription}: stopped; run it again, it begins anew")
                sys.exit(130)
            except SubscriptionsError as error:
                self.stderr.write(f"{subscription}: {error}")
                is_well = False
                continue
            seconds = time.monotonic() - began
            self.stdout.write(f"{subscription}: {_summary(found)} in {seconds:.1f} s")
            is_well = is_well and not found.failed
        if not is_well:
            sys.exit(1)

    @contextmanager
    def _told(self, name: str) -> Iterator[Tell]:
        stream: Any = self.stdout
        if not stream.isatty():
            yield self._lines(name)
            return
        console = Console(file=stream, highlight=False)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=console, transient=True) as bar:
            task = bar.add_task(escape(name), total=None)

            def tell(progress: Progress) -> None:
                waits = f": {_waiting(progress)}" if progress.waits_for else ""
                bar.update(
                    task,
                    description=escape(name + waits),
                    completed=progress.done,
                    total=progress.total,
                )

            yield tell

    def _lines(self, name: str) -> Tell:
        """Say how it goes in plain lines, one in a while."""
        told_at = time.monotonic()

        def tell(progress: Progress) -> None:
            nonlocal told_at
            if time.monotonic() - told_at < LINE_EVERY:
                return
            told_at = time.monotonic()
            if progress.waits_for:
                self.stdout.write(f"{name}: {_waiting(progress)}")
            else:
                self.stdout.write(f"{name}: {progress.done:,} of {progress.total or 0:,}")

        return tell


def _chosen(named: str | None, company: str | None) -> QuerySet[Subscription]:
    rows = Subscription.objects.filter(handler_type="SEARCH").order_by("id")
    if company is not None:
        rows = rows.filter(Q(company=company) | Q(company=None))
    if named is None:
        return rows.filter(active=True)
    is_it = Q(name=named)
    if named.isascii() and named.isdigit() and len(named) < 19:
        is_it |= Q(pk=int(named))
    found = rows.filter(is_it)
    if not found:
        known = ", ".join(map(str, rows[:20])) or "none"
        raise CommandError(f"there is no SEARCH subscription {named!r}; there are: {known}")
    return found


def _waiting(progress: Progress) -> str:
    who = ", ".join(str(pid) if pid else "prepared" for pid in progress.waits_for)
    return f"waiting for open transactions that wrote events (processes: {who})"


def _summary(found: Reindexed) -> str:
    parts = [f"{found.indexed:,} indexed", f"{found.removed:,} removed"]
    if found.left_out:
        parts.append(f"{found.left_out:,} left out by the filter")
    if found.failed:
        parts.append(f"{found.failed:,} failed")
    return ", ".join(parts)
