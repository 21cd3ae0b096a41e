"""The processes of one history: two workers, the relay and the starter, to be killed and frozen."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.application import procfile
from counterpoint.embedded.guard import descendants
from counterpoint.embedded.services import POSTGRES
from tests.faults.app import environment
from tests.faults.timeline import WORKERS, Fault, clock_shifts, relay_death

APP = "tests.faults.app"
POOL_PROCESSES = 4
FROZEN_SECONDS = 4.5  # above the lease of the tests
SILENT_SECONDS = 2.0


class Cluster:
    """Starts, hits and stops the processes; what is frozen thaws on `tick`."""

    def __init__(
        self, services: EmbeddedServices, *, seed: int, settings: Mapping[str, str]
    ) -> None:
        self.services = services
        self.settings = {**settings, "EXTRA_APPS": APP, environment.SEED: str(seed)}
        self.settings["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._hours = clock_shifts(seed)
        self.seed = seed
        self.is_peaceful = False
        self._relays = 0
        self._thaw_at: dict[str, float] = {}
        self._started: set[str] = set()

    def start(self, name: str) -> None:
        """Start a process by name, with its own wrong clock."""
        env = {**self.settings, environment.CLOCK_HOURS: str(self._hours[name])}
        if name == "relay" and not self.is_peaceful:
            self._relays += 1
            env[environment.DEATH] = relay_death(self.seed, self._relays)
        argv = ["/bin/sh", "-c", f"exec {_command(name)}"]
        self.services.start_process(name, argv, env)
        self._started.add(name)

    def stop(self) -> None:
        """End them all."""
        for name in self._started:
            self.services.processes.kill(name)

    def has_ended(self, name: str) -> bool:
        return self.services.processes.codes()[name] is not None

    def log(self, name: str) -> str:
        path = self.services.processes.logs / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # Faults ---------------------------------------------------------------------------------------

    def hit(self, fault: Fault) -> None:
        """Do what the fault says; SQS is not silenced here."""
        match fault.kind:
            case "kill worker":
                self.replace(fault.target)
            case "kill relay":
                self.replace("relay")
            case "kill starter":
                if not self.has_ended("starter"):
                    self.replace("starter")
            case "kill pool process":
                self._kill_pool_process(fault)
            case "freeze worker":
                self._signal(fault.target, signal.SIGSTOP)
                self._thaw_at[fault.target] = time.monotonic() + FROZEN_SECONDS
            case "restart postgres":
                self.services.restart(POSTGRES)
            case "crash postgres":
                self.services.processes.kill(POSTGRES)
                self.services.restart(POSTGRES)

    def replace(self, name: str) -> None:
        """Kill a process with all that it started, and start another in its place."""
        self._thaw_at.pop(name, None)
        self.services.processes.kill(name)
        self.start(name)

    def tick(self, *, all_of_them: bool = False) -> None:
        """Thaw those whose time has come, or all; and replace a process that ended by itself."""
        now = time.monotonic()
        for name in [n for n, at in self._thaw_at.items() if all_of_them or at <= now]:
            del self._thaw_at[name]
            self._signal(name, signal.SIGCONT)
        for name in (*WORKERS, "relay"):
            if name in self._started and self.has_ended(name):
                self.start(name)

    def make_peace(self) -> None:
        """Let everything run: a step that froze its worker may have been killed meanwhile."""
        self.is_peaceful = True
        self.replace("relay")
        self.tick(all_of_them=True)
        for name in WORKERS:
            self._signal(name, signal.SIGCONT)

    def _kill_pool_process(self, fault: Fault) -> None:
        main, *children = self._pids(fault.target) or [0]
        if children:
            _send(children[int(fault.share * len(children))], signal.SIGKILL)
            _send(main, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        for pid in self._pids(name):
            _send(pid, number)

    def _pids(self, name: str) -> list[int]:
        """Return the pids of a worker, its main process first, as they are seen from here."""
        mark = f"{name}@".encode()
        return [p for p in descendants(self.services.processes.process.pid) if mark in _argv(p)]


def _command(name: str) -> str:
    if name in WORKERS:
        return f"{procfile()['worker']} --concurrency {POOL_PROCESSES} --hostname {name}@%h"
    own = {"starter": "start_fault_runs", "levers": "pull_fault_levers"}
    return procfile()[name] if name in procfile() else f"python manage.py {own[name]}"


def _argv(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
