"""`manage.py prune`."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import services
from jobs.counting import counted
from jobs.management.input import BAD_USE

MOST = 10_000


class Command(BaseCommand):
    help = "Remove finished runs past their retention, in small transactions. Live runs stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--batch", type=int, default=1000, help="runs in one transaction; 1000 unless told"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        batch = options["batch"]
        if not 1 <= batch <= MOST:
            raise CommandError(f"--batch takes 1 to {MOST}, not {batch}", returncode=BAD_USE)
        removed = 0
        while found := services.prune(limit=batch):
            removed += found
        self.stdout.write(f"{counted(removed, 'run')} removed")
