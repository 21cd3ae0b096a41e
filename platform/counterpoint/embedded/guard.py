"""The guard: a process that runs others so that none of them outlives its parent.

It is started by `counterpoint.embedded.processes` in a session of its own, where the platform
allows it as the first process of a PID namespace, and reads commands as JSON lines from its
standard input. Every command gets one JSON line as answer. When the input ends, or the parent does
(a pidfd is passed as argument, because a forked child of the parent could hold the pipe open), it
ends what it runs: the applications first, then the services they use, then every descendant that is
left, those included that made themselves daemons. The kernel ends the direct children if the guard
itself is killed, and all of them inside a PID namespace.

Run as a file, not as a module, and on the standard library alone: it starts in 30 ms and imports no
project code that could fail.
"""

import argparse
import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.02
LAST_GRACE_SECONDS = 0.5


@dataclass
class Process:
    """One process started by name; `code` is None while it runs, as subprocess has it after."""

    popen: subprocess.Popen[bytes]
    stop_signal: int
    is_service: bool
    code: int | None = None


class Guard:
    """Start, signal and finally end processes; single-threaded, as PR_SET_PDEATHSIG needs it."""

    def __init__(self, *, grace: float) -> None:
        self.grace = grace
        self.processes: dict[str, Process] = {}
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command and return its answer; errors are answers too."""
        operations: dict[str, Callable[..., dict[str, Any]]] = {
            "start": self.start,
            "signal": self.send_signal,
            "status": self.status,
        }
        try:
            return operations[command.pop("op")](**command)
        except (OSError, KeyError, TypeError, ValueError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def start(
        self,
        *,
        name: str,
        argv: list[str],
        env: dict[str, str],
        cwd: str,
        log: str,
        stop_signal: int,
        is_service: bool,
    ) -> dict[str, Any]:
        """Start a process whose output goes to the end of its log; the name must be free."""
        known = self.processes.get(name)
        if known is not None and known.code is None:
            raise ValueError(f"{name} is running")
        with Path(log).open("ab") as output:
            popen = subprocess.Popen(  # noqa: S603 - the parent says what to run; that is the purpose
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=self._die_with_guard,
            )
        self.processes[name] = Process(popen, stop_signal, is_service)
        return {"pid": popen.pid}

    def _die_with_guard(self) -> None:
        self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def send_signal(self, *, name: str, number: int, tree: bool) -> dict[str, Any]:
        """Send a signal to a process and, with `tree`, to everything it started."""
        process = self.processes[name]
        if process.code is None:
            # Listed before the first signal: the children of the dead are the guard's own.
            below = descendants(process.popen.pid) if tree else []
            for pid in (process.popen.pid, *below):
                send(pid, number)
        return {}

    def status(self) -> dict[str, Any]:
        """Return {name: [pid, exit code or None]} of all processes ever started."""
        self.reap()
        return {"status": {n: [p.popen.pid, p.code] for n, p in self.processes.items()}}

    def reap(self) -> None:
        """Collect every child that has ended, adopted ones included."""
        by_pid = {p.popen.pid: p for p in self.processes.values() if p.code is None}
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid in by_pid:
                    code = os.waitstatus_to_exitcode(wait_status)
                    by_pid[pid].code = by_pid[pid].popen.returncode = code

    def end_all(self) -> None:
        """End the applications, then the services, then whatever else descends from here."""
        self._end([p for p in self.processes.values() if not p.is_service])
        self._end([p for p in self.processes.values() if p.is_service])
        for last_signal in (signal.SIGTERM, signal.SIGKILL):
            for pid in descendants(os.getpid()):
                send(pid, last_signal)
            self._wait(lambda: not descendants(os.getpid()), LAST_GRACE_SECONDS)

    def _end(self, processes: list[Process]) -> None:
        for process in processes:
            if process.code is None:
                send(process.popen.pid, process.stop_signal)
        self._wait(lambda: all(p.code is not None for p in processes), self.grace)

    def _wait(self, done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            self.reap()
            if done() or time.monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS)


def send(pid: int, number: int) -> None:
    """Signal a process that may just have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """Return the running processes below `pid`, parents before children; zombies are left out."""
    children: dict[int, list[int]] = {}
    alive = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended while we looked
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            children.setdefault(int(parent), []).append(int(entry.name))
            if state not in "ZX":
                alive.add(int(entry.name))
    found = children.get(pid, [])
    for child in found:
        found.extend(children.get(child, ()))  # the list grows while it is walked
    return [child for child in found if child in alive]


def commands(parent: int) -> Iterator[dict[str, Any] | None]:
    """Yield commands until the input or the parent (a pidfd) ends; None when a child has ended."""
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    # Handlers that do nothing, not SIG_IGN: what is ignored would stay ignored in every child.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    buffer = b""
    while not stopping:
        ready, _, _ = select.select([0, wake_read, parent], [], [])
        if parent in ready:
            return
        if wake_read in ready:
            os.read(wake_read, 4096)
            yield None
        if 0 in ready:
            chunk = os.read(0, 65536)
            if not chunk:
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            yield from map(json.loads, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run processes that do not outlive their parent.")
    parser.add_argument("--parent", type=int, required=True, help="file descriptor: its pidfd")
    parser.add_argument("--grace", type=float, required=True, help="seconds between TERM and KILL")
    parser.add_argument("--remove", help="a directory to delete when all have ended")
    options = parser.parse_args()
    guard = Guard(grace=options.grace)
    try:
        for command in commands(options.parent):
            if command is None:
                guard.reap()
            else:
                sys.stdout.write(json.dumps(guard.handle(command)) + "\n")
                sys.stdout.flush()
    except BrokenPipeError:  # the parent went while it was being answered
        pass
    finally:
        guard.end_all()
        if options.remove:
            shutil.rmtree(options.remove, ignore_errors=True)
        os._exit(0)  # not through sys.exit, which would flush into the broken pipe


if __name__ == "__main__":
    main()
