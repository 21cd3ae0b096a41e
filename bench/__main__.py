"""`python -m bench`: measure, print one table and write var/bench.json."""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from bench import profiles
from bench.errors import BenchError
from bench.measures import MEASURES
from bench.profiling import CLOCK, CLOCKS
from bench.rows import Row, skipped, write
from bench.setup import Setup
from bench.shape import EVENTS, FINISHED_RUNS
from bench.stage import ENVIRONMENT, Stage
from bench.table import summary, table
from counterpoint.embedded import EmbeddedError, EmbeddedServices, application
from counterpoint.exits import EXIT_CODE, one_line_errors

DIRECTORY = application.ROOT / "var" / "bench"
LOGS = application.ROOT / "var" / "bench-logs"
RESULT = application.ROOT / "var" / "bench.json"


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = list(MEASURES)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME",
                        help=f"measure these alone: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5, help="of ABAB each; default %(default)s")
    parser.add_argument("--finished-runs", type=int, default=FINISHED_RUNS, metavar="N",
                        help="for `finished`; default %(default)s")  # fmt: skip
    parser.add_argument("--events", type=int, default=EVENTS, metavar="N",
                        help="for the relay's memory; default %(default)s")  # fmt: skip
    parser.add_argument("--output", type=Path, default=RESULT, help="default var/bench.json")
    parser.add_argument("--profile", choices=sorted(profiles.PROFILES), metavar="NAME",
                        help="measure nothing, show where the time of one of these goes:"
                        f" {', '.join(profiles.PROFILES)}")  # fmt: skip
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="of --profile; default %(default)s"
    )
    found = parser.parse_args()
    if found.rounds < 1:
        parser.error("--rounds: at least 1")
    return found


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def measure(setup: Setup, names: list[str], console: Console) -> list[Row]:
    """Measure one after the other, nothing beside anything else."""
    rows: list[Row] = []
    with console.status("measuring") as status:
        for name in names:
            began = time.monotonic()
            status.update(f"measuring: {name}")
            found = measured_or_why(name, setup)
            console.print(f"{name}: {time.monotonic() - began:.0f} s", style="dim")
            for row in found:  # at once: whoever ends it early has these
                console.print(f"  {summary(row)}", style="dim")
            rows += found
    return rows


def measured_or_why(name: str, setup: Setup) -> list[Row]:
    """Return the rows, or one that says why there are none: the others are worth having."""
    try:
        return MEASURES[name](setup)
    except (BenchError, EmbeddedError) as error:
        return [skipped(name, unit="", why=str(error))]


def run(chosen: argparse.Namespace, console: Console) -> bool:
    """Bring the services up, measure or profile, show and write what was found.

    Returns whether all of it could be measured.
    """
    os.environ.update({**ENVIRONMENT, CLOCK: chosen.clock})
    with EmbeddedServices(DIRECTORY, temporary=True) as services:
        stage = Stage(services)
        durable = ", ".join(f"{name} {value}" for name, value in stage.durability().items())
        application.prepare(services)
        if chosen.profile:
            console.print(profiles.PROFILES[chosen.profile](stage), markup=False, highlight=False)
            return True
        setup = Setup(
            stage, rounds=chosen.rounds, finished_runs=chosen.finished_runs, events=chosen.events
        )
        rows = measure(setup, chosen.only, console)
        shutil.copytree(services.directory / "logs", LOGS, dirs_exist_ok=True)
    write(rows, chosen.output)
    title = f"PostgreSQL with {durable}; medians of {chosen.rounds}, measured by turns"
    console.print(table(rows, title=title))
    goals = [row for row in rows if row.goal]
    met = sum(bool(row.met) for row in goals)
    console.print(f"{met} of {len(goals)} goals met beyond the noise; rows in {chosen.output}")
    failed = [row for row in rows if row.value is None]
    if failed:
        console.print(f"{len(failed)} rows are without a figure; logs of the run in {LOGS}")
    return not failed


def main() -> int:
    chosen = options()
    signal.signal(signal.SIGTERM, interrupt)
    console = Console(width=None if sys.stdout.isatty() else 160)
    with one_line_errors():
        try:
            return 0 if run(chosen, console) else 1
        except KeyboardInterrupt:
            console.print("stopped")
            return 130
        except (EmbeddedError, BenchError) as error:
            sys.stderr.write(f"{error}\n")
            return EXIT_CODE
    return EXIT_CODE


if __name__ == "__main__":
    sys.exit(main())
