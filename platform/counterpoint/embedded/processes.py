"""Processes that end with the one that started them, however that one ends.

The work is done by `counterpoint.embedded.guard`, which runs as a process of its own; this is its
other end.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from counterpoint.embedded import guard
from counterpoint.embedded.errors import EmbeddedError, ProcessEnded

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Specification:
    """What to run and how to end it; kept so that a process can be started again by its name."""

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)  # it holds passwords
    stop_signal: signal.Signals = signal.SIGTERM
    is_service: bool = False


@cache
def namespace() -> tuple[str, ...]:
    """Return the command that makes a PID namespace, or () where that is not allowed."""
    if shutil.which("unshare") is None:
        return ()
    isolate = ("--pid", "--fork", "--kill-child=KILL", "--mount-proc")
    for user in ((), ("--user", "--map-current-user")):
        command = ("unshare", *user, *isolate)
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:  # noqa: S603 - fixed words
            return command
    return ()


class GuardedProcesses:
    """Start processes by name; all of them end when this is closed or this Python process ends.

    `directory` gets a log per process, `logs/NAME.log`. `held` is a file descriptor the guard keeps
    open until everything has ended, such as a lock. Usable from several threads.
    """

    def __init__(
        self, directory: Path, *, grace: float = 5.0, held: int | None = None, remove: bool = False
    ) -> None:
        if sys.platform != "linux":
            raise EmbeddedError("the embedded services need Linux; elsewhere use docker compose")
        self.directory = directory
        self.logs = directory / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._specifications: dict[str, Specification] = {}
        self._lock = threading.Lock()
        self._grace = grace
        parent = os.pidfd_open(os.getpid())
        argv = [*namespace(), sys.executable, "-I", guard.__file__]
        argv += ["--parent", str(parent), "--grace", str(grace)]
        argv += ["--remove", str(directory)] if remove else []
        with (self.logs / "guard.log").open("ab") as errors:
            self.process = subprocess.Popen(  # noqa: S603 - our own file
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[parent] if held is None else [parent, held],
                start_new_session=True,  # Ctrl-C in the terminal is for the parent, who then closes
            )
        os.close(parent)

    def start(self, name: str, specification: Specification) -> int:
        """Start a process and return its pid, which is that of the guard's PID namespace."""
        answer = self._ask(
            "start",
            name=name,
            argv=list(specification.argv),
            env=dict(specification.env),
            cwd=os.getcwd(),  # noqa: PTH109 - a str for JSON
            log=str(self.logs / f"{name}.log"),
            stop_signal=int(specification.stop_signal),
            is_service=specification.is_service,
        )
        self._specifications[name] = specification
        return int(answer["pid"])

    def send_signal(self, name: str, number: signal.Signals, *, tree: bool = False) -> None:
        """Signal the process and, with `tree`, all it started; nothing if it has ended."""
        self._ask("signal", name=name, number=int(number), tree=tree)

    def kill(self, name: str) -> None:
        """End the process and all it started at once, as a power cut would; wait for it."""
        self.send_signal(name, signal.SIGKILL, tree=True)
        self.wait(name)

    def stop(self, name: str) -> int:
        """Ask the process to end, kill it after the grace period, and return its exit code."""
        self.send_signal(name, self._specifications[name].stop_signal)
        try:
            return self.wait(name, seconds=self._grace)
        except TimeoutError:
            self.send_signal(name, signal.SIGKILL, tree=True)
            return self.wait(name)

    def restart(self, name: str) -> None:
        """Stop the process if it runs, and start it again as it was."""
        self.stop(name)
        self.start(name, self._specifications[name])

    def wait(self, name: str, *, seconds: float = 30.0) -> int:
        """Wait for the end of the process and return its exit code, or raise TimeoutError."""
        deadline = time.monotonic() + seconds
        while True:
            code = self.codes()[name]
            if code is not None:
                return code
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} still runs after {seconds:g} s")
            time.sleep(POLL_SECONDS)

    def codes(self) -> dict[str, int | None]:
        """Return the exit code of each process ever started, None while it runs."""
        return {name: code for name, (_, code) in self._ask("status")["status"].items()}

    def require(self, *names: str) -> None:
        """Raise ProcessEnded if one of the processes no longer runs."""
        codes = self.codes()
        for name in names:
            code = codes[name]
            if code is not None:
                raise ProcessEnded(name, code, self.last_line(name))

    def last_line(self, name: str) -> str:
        """Return the last line of the process's log that is not blank."""
        lines = (self.logs / f"{name}.log").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        """End everything and wait for it."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()

    def _ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:  # both are pipes: said for the type checker
            raise EmbeddedError("the guard has no pipes")
        with self._lock:
            try:
                stdin.write(json.dumps({"op": operation, **arguments}).encode() + b"\n")
                stdin.flush()
                line = stdout.readline()
            except (BrokenPipeError, ValueError):
                line = b""
        if not line:
            raise EmbeddedError(
                f"the guard has ended: {self.last_line('guard') or 'no reason given'}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EmbeddedError(f"{operation} {arguments.get('name', '')}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
