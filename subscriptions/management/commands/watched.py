"""`manage.py watched`."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from subscriptions.drift import drift, limits
from subscriptions.watching import Watch, watched

PLAIN_WIDTH = 1000  # so that nothing is wrapped in a file


class Command(BaseCommand):
    help = (
        "List the watched tables, and where they are not watched as the migrations declare it;"
        " exit code 1 if there is such a table."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        found = watched()
        if found:
            stream: Any = self.stdout
            width = None if stream.isatty() else PLAIN_WIDTH
            Console(file=stream, width=width, highlight=False).print(_table(found))
        else:
            self.stdout.write("no table is watched: manage.py watch TABLE")
        for limit in limits():
            self.stdout.write(limit)
        problems = drift()
        for one in problems:
            self.stderr.write(f"{one.table}: {one.problem}")
        if problems:
            sys.exit(1)


def _table(found: list[Watch]) -> Table:
    made = Table("table", "company", "capture", "subscriptions", "not sent", "details")
    for one in found:
        made.add_row(
            one.table,
            one.company or "none: platform-wide",
            one.capture if one.enabled else f"{one.capture}, disabled",
            str(one.subscriptions),
            f"{one.null_company_rows:,} without a company" if one.null_company_rows else "",
            "; ".join(_details(one)),
        )
    return made


def _details(one: Watch) -> list[str]:
    parts = {
        "excludes": one.exclude,
        "formerly": one.former_names,
        "before": one.interceptors,
        "after": one.after_interceptors,
    }
    return [f"{what} {', '.join(names)}" for what, names in parts.items() if names]
