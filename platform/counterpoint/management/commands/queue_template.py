"""`manage.py queue_template`."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from counterpoint import cloudformation


class Command(BaseCommand):
    help = (
        "Print the CloudFormation template of the declared queues, EXTRA_QUEUES included: queues,"
        " dead-letter queues, alarms, and a policy for each process."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check",
            type=Path,
            metavar="FILE",
            help="print nothing; exit code 1 if the file is not that template",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        made = cloudformation.text(settings.QUEUES)
        path: Path | None = options["check"]
        if path is None:
            self.stdout.write(made, ending="")
        elif not path.is_file() or path.read_text(encoding="utf-8") != made:
            raise CommandError(
                f"{path} is not the template of the declared queues: write it anew with"
                f" manage.py queue_template > {path}"
            )
