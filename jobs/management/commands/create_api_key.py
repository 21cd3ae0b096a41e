"""`manage.py create_api_key COMPANY --name … --scope …`."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import keys
from jobs.management.input import BAD_USE

MOST_DAYS = 3650


class Command(BaseCommand):
    help = "Make an API key for a company and print it, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("company")
        parser.add_argument("--name", required=True, help="what it is for; recorded with its acts")
        parser.add_argument(
            "--scope",
            required=True,
            action="append",
            choices=keys.SCOPES,
            help="what it may do; may be given several times",
        )
        parser.add_argument("--expires", type=int, metavar="DAYS", help="useless after that")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["expires"]
        if days is not None and not 1 <= days <= MOST_DAYS:
            raise CommandError(f"--expires takes 1 to {MOST_DAYS} days", returncode=BAD_USE)
        try:
            made = keys.create(
                company=options["company"],
                name=options["name"],
                scopes=options["scope"],
                expires_in=None if days is None else timedelta(days=days),
            )
        except ValueError as error:
            raise CommandError(str(error), returncode=BAD_USE) from error
        self.stdout.write(made.text)
        self.stderr.write("Keep it now: only its digest is stored, and it cannot be shown again.")
