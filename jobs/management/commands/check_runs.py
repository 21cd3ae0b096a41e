"""`manage.py check_runs`."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from jobs import misfits
from jobs.counting import counted


class Command(BaseCommand):
    help = (
        "List the runs in flight that this code does not fit: steps, functions or workflows that"
        " are gone, or take or return other types. Run it with the new code before a deploy; exit"
        " code 1 if there are any."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        found, in_flight = misfits.in_flight()
        if not found:
            self.stdout.write(
                f"{counted(in_flight, 'run')} in flight, and this code fits all of them"
            )
            return
        for misfit in found:
            self.stdout.write(
                f"{misfit.workflow} {misfit.definition[:12]}: {counted(misfit.runs, 'run')} in"
                f" flight, such as {misfit.example}"
            )
            for problem in misfit.problems:
                self.stdout.write(f"  {problem}")
        affected = sum(misfit.runs for misfit in found)
        self.stderr.write(
            f"{affected:,} of {counted(in_flight, 'run')} in flight would wait for code: keep what"
            " they need until they have ended, or cancel them"
        )
        sys.exit(1)
