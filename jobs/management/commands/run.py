"""`manage.py run show|cancel|retry|fork|resume|resolve ID`."""

import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.controls import LEVERS, Lever
from jobs.errors import JobsError
from jobs.management import records, terminal
from jobs.management.input import os_user


class Command(BaseCommand):
    help = "Show a run, or pull a lever on it; who and why are recorded."
    requires_system_checks = ()  # a run can be stopped even while something else is wrong

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        show = verbs.add_parser("show", help="show its steps, attempts, waits, errors and levers")
        show.add_argument("id", type=UUID)
        show.add_argument("--json", action="store_true", help="all there is, as JSON")
        for lever in LEVERS.values():
            _add_lever(verbs.add_parser(lever.name, help=lever.explanation), lever)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["verb"] == "show":
                self._show(options["id"], as_json=options["json"])
            else:
                self._pull(LEVERS[options["verb"]], options)
        except JobsError as error:
            raise CommandError(str(error), returncode=1) from error

    def _show(self, run_id: UUID, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(records.read(run_id), indent=2, default=str))
        else:
            terminal.show(run_id, on=terminal.console(self.stdout))

    def _pull(self, lever: Lever, options: dict[str, Any]) -> None:
        pulled = lever.pull(
            options["id"],
            reason=options["reason"],
            by=options["by"],
            node=options.get("node"),
        )
        pulled.refresh_from_db()
        new = "" if pulled.pk == options["id"] else f", as run {pulled.pk}"
        self.stdout.write(f"run {options['id']} {lever.done}{new}; it is {pulled.status}")


def _add_lever(parser: Any, lever: Lever) -> None:
    parser.add_argument("id", type=UUID)
    parser.add_argument("--reason", required=True, help="why; it is recorded")
    parser.add_argument("--by", default=os_user(), help="who; the user of the system otherwise")
    if lever.takes is not None:
        option = "--" + lever.takes.removesuffix("_step")
        parser.add_argument(
            option, dest="node", required=True, metavar="STEP", help="a step's node in the run"
        )
