"""The receiver of webhooks as a process of the benchmark, and what it has received."""

import http.client
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError
from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.ports import HOST

START_SECONDS = 20.0
NAME = "receiver"


@dataclass(frozen=True)
class Arrival:
    """One request: `at` is Unix time, `monotonic` the machine's CLOCK_MONOTONIC, both seconds."""

    webhook_id: str
    at: float
    monotonic: float
    path: str


class Receiver:
    """Asks the running receiver; each question is one request on a connection of its own."""

    def __init__(self, port: int) -> None:
        self.port = port

    def url(self, mode: str = "ok") -> str:
        """Return where to send to: `ok`, `slow/0.5`, `never`; anything may follow after a `/`."""
        return f"http://{HOST}:{self.port}/{mode}"

    def counts(self) -> dict[str, int]:
        """Return how many requests came, by mode; a mode that got none is left out."""
        found: dict[str, int] = self._ask("counts")
        return found

    def arrivals(self) -> list[Arrival]:
        """Return what came since the start or `clear`, in that order."""
        return [Arrival(*row) for row in self._ask("arrivals")]

    def clear(self) -> None:
        self._ask("clear")

    def wait_for(self, count: int, *, mode: str = "ok", seconds: float) -> None:
        """Wait until so many requests came; raises BenchError if they do not in time."""
        deadline = time.monotonic() + seconds
        while (found := self.counts().get(mode, 0)) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"{found} of {count} webhooks came within {seconds:g} s")
            time.sleep(0.1)

    def _ask(self, what: str) -> Any:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request("GET", f"/~{what}")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


@contextmanager
def receiving(services: EmbeddedServices, *, name: str = NAME) -> Iterator[Receiver]:
    """Run a receiver for the length of the block, in a process of its own under the guard."""
    port_file = services.directory / f"{name}.port"
    port_file.unlink(missing_ok=True)
    services.start_process(name, [sys.executable, "-m", "bench.receiver", str(port_file)], {})
    try:
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists():
            services.processes.require(name)
            if time.monotonic() > deadline:
                raise BenchError(f"the receiver did not listen within {START_SECONDS:g} s")
            time.sleep(0.05)
        yield Receiver(int(port_file.read_text()))
    finally:
        services.processes.stop(name)
