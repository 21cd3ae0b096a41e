"""`manage.py unwatch TABLE`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscriptions import watching
from subscriptions.errors import CannotWatch


class Command(BaseCommand):
    help = "Stop watching a table. Its subscriptions stay, and hear nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", help="as the catalogue has it; outside public: schema.table")

    def handle(self, *args: Any, **options: Any) -> None:
        table = options["table"]
        was_watched = any(found.table == table for found in watching.watched())
        try:
            watching.unwatch(table)
        except CannotWatch as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"stopped watching {table}" if was_watched else f"{table} is not watched")
