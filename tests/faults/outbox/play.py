"""Eight writers, a worker, and a relay that is killed again and again."""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from django.core.management import call_command
from django.test import override_settings

from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.application import procfile
from tests.faults.outbox import judgement, tables
from tests.faults.seeds import rng

WRITERS = 8
WORK_SECONDS = 900.0  # for the events between two kills
PATIENCE_SECONDS = 60.0  # without a delivery
PROGRESS = 50  # deliveries that a relay makes before it is killed
QUEUE = "default"


@dataclass
class Outcome:
    """What it came to: `kills` of the relay while events were waiting."""

    seed: int
    events: int = 0
    kills: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {self.events:,} events, {self.kills} kills of the relay"]
        return "\n  ".join([*lines, *self.violations])


class OutboxPlay:
    """Plays one seed on the given services and database; leaves neither process nor table."""

    def __init__(
        self,
        services: EmbeddedServices,
        settings: Mapping[str, str],
        *,
        seed: int,
        events: int,
        kills: int,
    ) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.services = services
        self.settings = {**settings, "EXTRA_APPS": "tests.faults.outbox", "PATH": path}
        self.settings["SQS_QUEUE_PREFIX"] = f"outbox-{seed}-"
        self.seed, self.events, self.kills = seed, events, kills
        self._names: list[str] = []

    def play(self) -> Outcome:
        """Play it to its end and judge it."""
        with psycopg.connect(self.settings["DATABASE_URL"], autocommit=True) as connection:
            try:
                tables.make(connection)
                self._start_all()
                kills = self._kill_relays(connection)
                self._wait_for_the_end(connection)
                found = list(judgement.violations(connection))
                return Outcome(self.seed, judgement.expected(connection), kills, found)
            finally:
                for name in self._names:
                    self.services.processes.kill(name)
                tables.drop(connection)

    # Processes ------------------------------------------------------------------------------------

    def _start(self, name: str, command: str) -> None:
        self.services.start_process(name, ["/bin/sh", "-c", f"exec {command}"], self.settings)
        self._names.append(name)

    def _start_all(self) -> None:
        with override_settings(SQS_QUEUE_PREFIX=self.settings["SQS_QUEUE_PREFIX"]):
            call_command("ensure_queues", verbosity=0)
        self._start("relay", procfile()["relay"])
        self._start("worker", f"{procfile()['worker']} --concurrency 2 -Q {QUEUE}")
        share = self.events // WRITERS
        for number in range(WRITERS):
            argv = [sys.executable, "-m", "tests.faults.outbox.writers"]
            argv += [self.settings["DATABASE_URL"], str(self.seed), str(number), str(share)]
            self.services.start_process(f"writer-{number}", argv, self.settings)
            self._names.append(f"writer-{number}")

    def _kill_relays(self, connection: tables.Connection) -> int:
        """Kill the relay at even distances of the events, each time in the middle of its work, as
        long as there is some; return how often.
        """
        draw = rng(self.seed, "kills")
        for kill in range(1, self.kills + 1):
            least = max(self.events * kill // (self.kills + 1), routed(connection) + PROGRESS)
            if not self._wait_for_progress(connection, least):
                return kill - 1  # the relay has come to the end already
            time.sleep(draw.random() * 0.05)  # anywhere in a turn, not right after a commit
            self.services.processes.kill("relay")
            self.services.processes.restart("relay")
        return self.kills

    def _wait_for_progress(self, connection: tables.Connection, least: int) -> bool:
        """Wait until so many deliveries were made; False if there is nothing left to make."""
        last, moved_at = -1, time.monotonic()
        deadline = moved_at + WORK_SECONDS
        while (made := routed(connection)) < least:
            codes = self.services.processes.codes()
            if made != last or None in {codes[f"writer-{n}"] for n in range(WRITERS)}:
                last, moved_at = made, time.monotonic()
            if time.monotonic() - moved_at > PATIENCE_SECONDS:
                return False
            if time.monotonic() > deadline:
                raise AssertionError(f"{made} deliveries after {WORK_SECONDS:g} s, not {least}")
            time.sleep(0.02)
        return True

    def _wait_for_the_end(self, connection: tables.Connection) -> None:
        """Wait for the writers, then until all is delivered or nothing moves any more."""
        for number in range(WRITERS):
            name = f"writer-{number}"
            if self.services.processes.wait(name, seconds=3600):
                self.services.processes.require(name)
        expected = judgement.expected(connection)
        last, moved_at = -1, time.monotonic()
        while (count := judgement.delivered(connection)) < expected:
            if count != last:
                last, moved_at = count, time.monotonic()
            if time.monotonic() - moved_at > PATIENCE_SECONDS:
                return  # the checks say what is missing
            time.sleep(0.1)


def routed(connection: tables.Connection) -> int:
    """Return about how many deliveries were made; a killed relay leaves gaps."""
    row = connection.execute("SELECT last_value FROM event_system_delivery_seq").fetchone()
    return int(str(row[0])) if row else 0
