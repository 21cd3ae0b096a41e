"""`manage.py prune`."""

from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import services
from jobs.counting import counted
from jobs.management.input import BAD_USE

MOST = 1000  # more in one transaction would hold up others


class Command(BaseCommand):
    help = (
        "Remove finished runs past their retention, and slots of schedules that nobody asks for any"
        " more, in small transactions. Live runs stay."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--batch",
            type=int,
            default=MOST,
            help=f"runs in one transaction: 1 to {MOST}, which it is unless told",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        batch = options["batch"]
        if not 1 <= batch <= MOST:
            raise CommandError(f"--batch takes 1 to {MOST}, not {batch}", returncode=BAD_USE)
        runs = _until_none_is_left(services.prune, batch)
        firings = _until_none_is_left(services.prune_firings, batch)
        also = f", and {counted(firings, 'slot')} of schedules" if firings else ""
        self.stdout.write(f"{counted(runs, 'run')} removed{also}")


def _until_none_is_left(prune: Callable[..., int], batch: int) -> int:
    removed = 0
    while found := prune(limit=batch):
        removed += found
    return removed
