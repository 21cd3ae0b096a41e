"""`make faults ARGS="--minutes 10 --seed 7"`: histories, seed after seed, until time is up; then
the outbox, under a relay that is killed, and messages from outside, under an ingest that is.
"""

import argparse
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path

from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.application import prepare
from tests.services import SETTINGS

SECONDS, RUNS = 20.0, 40
EVENTS, KILLS = 100_000, 10
MESSAGES, INGEST_KILLS = 20_000, 5


def main() -> int:
    options = _options()
    os.environ.update(SETTINGS)
    directory = Path(tempfile.mkdtemp(prefix="counterpoint-faults-"))
    with EmbeddedServices(directory, durable=False, temporary=True) as services:
        prepare(services)
        deadline = time.monotonic() + options.minutes * 60
        seed = options.seed
        while True:
            if not _play(services, seed, options):
                return 1
            if time.monotonic() >= deadline:
                plays = (_play_outbox, _play_ingest)
                return 0 if all(play(services, seed, options) for play in plays) else 1
            seed += 1


def _play(services: EmbeddedServices, seed: int, options: argparse.Namespace) -> bool:
    """Play one seed on empty tables, print what it came to and return whether all was well."""
    from django.core.management import call_command
    from django.db import connection

    from tests.faults.history import History

    connection.close()  # the history before has restarted PostgreSQL
    call_command("flush", verbosity=0, interactive=False)
    print(f"seed {seed}", end="", flush=True)  # noqa: T201 - the command's output
    began = time.monotonic()
    history = History(
        services, dict(os.environ), seed=seed, seconds=options.seconds, runs=options.runs
    )
    outcome = history.play()
    counts = ", ".join(f"{count} {what}" for what, count in sorted(outcome.counts.items()))
    print(f": {time.monotonic() - began:.0f} s; {counts}", flush=True)  # noqa: T201
    if outcome.violations:
        print(outcome, flush=True)  # noqa: T201
    return not outcome.violations


def _play_outbox(services: EmbeddedServices, seed: int, options: argparse.Namespace) -> bool:
    """Play the outbox on empty tables, print what it came to and return whether all was well."""
    from django.core.management import call_command
    from django.db import connection

    from tests.faults.outbox.play import OutboxPlay

    if not options.events:
        return True
    connection.close()
    call_command("flush", verbosity=0, interactive=False)
    began = time.monotonic()
    play = OutboxPlay(services, dict(os.environ), seed=seed, events=options.events, kills=KILLS)
    outcome = play.play()
    print(f"outbox, {outcome}: {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    return not outcome.violations


def _play_ingest(services: EmbeddedServices, seed: int, options: argparse.Namespace) -> bool:
    """Play the ingest on empty tables, print what it came to and return whether all was well."""
    from django.core.management import call_command
    from django.db import connection

    from tests.faults.ingest.play import IngestPlay

    if not options.messages:
        return True
    connection.close()
    call_command("flush", verbosity=0, interactive=False)
    began = time.monotonic()
    environment = dict(os.environ)
    play = IngestPlay(
        services, environment, seed=seed, messages=options.messages, kills=INGEST_KILLS
    )
    outcome = play.play()
    print(f"ingest, {outcome}: {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
    return not outcome.violations


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=0.0, help="go on with further seeds so long"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of trouble per history")
    parser.add_argument("--runs", type=int, default=RUNS, help="workflow runs per history")
    parser.add_argument("--events", type=int, default=EVENTS, help="of the outbox; 0 leaves it out")
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="from outside; 0 leaves them out"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
