"""Where the measuring happens: durable embedded services, and processes to start and hold on them.

Everything runs under the guard of `EmbeddedServices` and ends with the benchmark, however it ends.
"""

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg

from bench.errors import BenchError
from bench.mailbox import Mailbox
from bench.polls import end_polls
from bench.shape import ENGINE_QUEUES, PEER_QUEUE, PEER_QUEUES
from counterpoint.embedded import EmbeddedServices, application

DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
# What a process needs besides the services' addresses; set for this process too.
ENVIRONMENT = {
    "EXTRA_APPS": "bench.flows",
    "EXTRA_QUEUES": ",".join((*ENGINE_QUEUES, PEER_QUEUE, *PEER_QUEUES)),
    "DJANGO_SETTINGS_MODULE": "counterpoint.settings",
}


class Held:
    """A process that can be stopped for a while, with all it started, and told to go on."""

    def __init__(self, services: EmbeddedServices, name: str) -> None:
        self.name = name
        self._services = services

    def hold(self) -> None:
        self._services.processes.send_signal(self.name, signal.SIGSTOP, tree=True)

    def release(self) -> None:
        self._services.processes.send_signal(self.name, signal.SIGCONT, tree=True)


class Stage:
    """The services, and what runs on them for one measurement at a time."""

    def __init__(self, services: EmbeddedServices) -> None:
        self.services = services
        self.marks = services.directory / "marks"
        self.marks.mkdir(exist_ok=True)
        self._numbers = count(1)

    def unique(self, word: str) -> str:
        return f"{word}-{next(self._numbers)}"

    def durability(self) -> dict[str, str]:
        """Return Postgres's settings of DURABLE; raises BenchError unless each is on."""
        with psycopg.connect(self.services.database_url("postgres")) as connection:
            found = {name: _setting(connection, name) for name in DURABLE}
        off = [f"{name} = {value}" for name, value in found.items() if value != "on"]
        if off:
            raise BenchError(f"PostgreSQL is not durable, so nothing is measured: {', '.join(off)}")
        return found

    def create_database(self, name: str) -> str:
        """Make a database anew and return its URL."""
        url = self.services.database_url("postgres")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {name}")
        return self.services.database_url(name)

    @contextmanager
    def probe(self, kind: str, env: Mapping[str, str] | None = None) -> Iterator[Mailbox]:
        """Run a probe of the kind, a module of `bench.probes`; yields where to ask it."""
        name = self.unique(kind)
        url = self.services.environment["REDIS_URL"]
        box = Mailbox(name, url=url, processes=self.services.processes)
        argv = [sys.executable, "-m", "bench.probe", name]
        with self.running(name, argv, {"BENCH_MARKS": str(self.marks), **(env or {})}):
            yield box
            box.dismiss()

    @contextmanager
    def worker(
        self,
        queues: Sequence[str],
        *,
        processes: int,
        app: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Iterator[Held]:
        """Run the Procfile's worker on these queues, or that of another Celery application."""
        command = application.procfile()["worker"]
        if app is not None:  # without -E: its events would go to SQS, which cannot carry them
            command = command.replace("-A counterpoint", f"-A {app}").replace(" -E", "")
        argv = [*command.split(), "-c", str(processes), "-Q", ",".join(queues)]
        argv[0] = str(Path(sys.executable).parent / argv[0])
        name = self.unique("worker")
        try:
            with self.running(name, argv, {"BENCH_MARKS": str(self.marks), **(env or {})}) as held:
                yield held
        finally:
            end_polls(queues)

    @contextmanager
    def relay(self, env: Mapping[str, str] | None = None) -> Iterator[Held]:
        """Run the Procfile's relay, without which a lost message would stay lost."""
        argv = [sys.executable, *application.procfile()["relay"].split()[1:]]
        with self.running(self.unique("relay"), argv, env or {}) as held:
            yield held

    @contextmanager
    def running(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Iterator[Held]:
        """Run a process for the length of the block; it is stopped as its operator would."""
        self.services.start_process(name, argv, {**ENVIRONMENT, **env})
        held = Held(self.services, name)
        try:
            yield held
        finally:
            held.release()
            self.services.processes.stop(name)


def _setting(connection: psycopg.Connection[tuple[str]], name: str) -> str:
    row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    return row[0] if row else "unknown"
