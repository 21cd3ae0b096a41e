"""`manage.py watch TABLE`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from subscriptions import watching
from subscriptions.errors import CannotWatch


class Command(BaseCommand):
    help = "Watch a table: each change of a row becomes an event. Watching it again changes how."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("table", help="as the catalogue has it; outside public: schema.table")
        parser.add_argument(
            "--company", help="the column with the company; '' for none. Default: company,"
            " company_id or companyId, if there is one",
        )  # fmt: skip
        for name, what in (
            ("--exclude", "a column that no event holds; may be given again"),
            ("--interceptor", "an SQL function to call before the write; may be given again"),
            ("--after-interceptor", "an SQL function to call after it; may be given again"),
        ):
            parser.add_argument(name, action="append", default=[], metavar="NAME", help=what)
        parser.add_argument(
            "--capture", default="row",
            help="row, statement (for bulk loads) or always (keeps every event); default row",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            watching.watch(
                options["table"],
                company=options["company"],
                exclude=options["exclude"],
                capture=options["capture"],
                interceptors=options["interceptor"],
                after_interceptors=options["after_interceptor"],
            )
        except CannotWatch as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"watching {options['table']}")
