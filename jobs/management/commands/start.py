"""`manage.py start NAME --input …`."""

import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs import services
from jobs.errors import InvalidInput, JobsError
from jobs.management import terminal
from jobs.management.input import BAD_USE, issue_lines, json_input
from jobs.models import Run

LOOK_EVERY_SECONDS = 0.5
INTERRUPTED = 130


class Command(BaseCommand):
    help = (
        "Start a run of a workflow and print its id; with --watch, follow it to its end. Exit code:"
        " 0 started (or, watched, succeeded), 1 failed or cancelled, 2 bad use."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the workflow's name, such as restock/create")
        parser.add_argument(
            "--input",
            default="{}",
            help="JSON: the value of the one parameter, or an object by parameter; @file.json"
            " reads a file, - standard input",
        )
        parser.add_argument("--company", help="the run's company; without it, the platform itself")
        parser.add_argument("--env", default="live")
        parser.add_argument("--idempotency-key", help="the same key gives the same run")
        parser.add_argument("--watch", action="store_true", help="follow the run to its end")

    def handle(self, *args: Any, **options: Any) -> None:
        run = _start(options)
        if options["watch"]:
            self._watch(run)
        else:
            self.stdout.write(str(run.pk))

    def _watch(self, run: Run) -> None:
        console = terminal.console(self.stdout)
        try:
            ended = terminal.follow(run.pk, on=console, pause=_pause)
        except KeyboardInterrupt:
            self.stderr.write(f"the run goes on: manage.py run show {run.pk}")
            sys.exit(INTERRUPTED)
        if ended.status != Run.Status.SUCCEEDED:
            sys.exit(1)


def _start(options: dict[str, Any]) -> Run:
    try:
        return services.start_workflow(
            options["name"],
            json_input(options["input"]),
            company=options["company"],
            env=options["env"],
            idempotency_key=options["idempotency_key"],
        )
    except InvalidInput as error:
        raise CommandError(issue_lines(error), returncode=BAD_USE) from error
    except JobsError as error:
        raise CommandError(str(error), returncode=BAD_USE) from error


def _pause() -> None:
    time.sleep(LOOK_EVERY_SECONDS)
