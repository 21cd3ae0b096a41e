"""Whatever happens to the command, nothing it started is left."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from counterpoint.embedded import EmbeddedError, Ports, processes
from counterpoint.embedded.ports import SETTINGS
from counterpoint.embedded.processes import GuardedProcesses, Specification
from tests.platform.leftovers import processes_of
from tests.waiting import wait_until

STUBBORN = """
import os, pathlib, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()  # and the child of that child is a daemon
    if os.fork() == 0:
        pathlib.Path(sys.argv[1]).touch()
        time.sleep(600)
    os._exit(0)
time.sleep(600)
"""


@dataclass(frozen=True)
class Sandbox:
    """A directory and an environment by which processes are known."""

    directory: Path
    mark: str

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "TEST_MARK": self.mark}

    def left(self) -> dict[int, str]:
        return processes_of(self.directory, self.mark)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    # Not pytest's: that lies below a directory only its owner may pass through, which PostgreSQL as
    # the user nobody could not.
    directory = Path(tempfile.mkdtemp(prefix="counterpoint-guard-"))
    directory.chmod(0o711)
    yield Sandbox(directory, uuid.uuid4().hex)
    shutil.rmtree(directory)


@pytest.fixture(params=["with a PID namespace", "without"])
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without":
        monkeypatch.setattr(processes, "namespace", tuple)
    elif not processes.namespace():
        pytest.skip("PID namespaces are not allowed here")


def start_stubborn(guarded: GuardedProcesses, sandbox: Sandbox) -> None:
    """Start a process that ignores every polite signal and has a daemon; wait for the daemon."""
    daemon = sandbox.directory / "daemon"
    argv = [sys.executable, "-c", STUBBORN, str(daemon)]
    guarded.start("stubborn", Specification(argv, sandbox.environment))
    wait_until(daemon.exists, what="the daemon's trace")


@pytest.mark.usefixtures("isolation")
def test_closing_ends_processes_that_ignore_signals_and_daemons(sandbox: Sandbox) -> None:
    with GuardedProcesses(sandbox.directory, grace=0.2) as guarded:
        start_stubborn(guarded, sandbox)
        assert len(sandbox.left()) == 2

    assert sandbox.left() == {}


@pytest.mark.usefixtures("isolation")
def test_kill_ends_a_process_with_its_children_and_no_other(sandbox: Sandbox) -> None:
    sleeper = Specification(["sleep", "600"], sandbox.environment)
    parent = Specification(["sh", "-c", "sleep 600 & wait"], sandbox.environment)
    with GuardedProcesses(sandbox.directory) as guarded:
        guarded.start("other", sleeper)
        guarded.start("victim", parent)
        wait_until(lambda: len(sandbox.left()) == 3, what="three processes")

        guarded.kill("victim")

        assert guarded.codes() == {"other": None, "victim": -signal.SIGKILL}
        wait_until(lambda: len(sandbox.left()) == 1, what="one process")


def test_a_stopped_process_can_be_started_again_under_its_name(sandbox: Sandbox) -> None:
    with GuardedProcesses(sandbox.directory) as guarded:
        guarded.start("sleeper", Specification(["sleep", "600"], sandbox.environment))

        assert guarded.stop("sleeper") == -signal.SIGTERM
        guarded.restart("sleeper")

        assert guarded.codes() == {"sleeper": None}


def test_a_program_that_does_not_exist_is_reported(sandbox: Sandbox) -> None:
    with (
        GuardedProcesses(sandbox.directory) as guarded,
        pytest.raises(EmbeddedError, match="no-such-program"),
    ):
        guarded.start("bad", Specification(["no-such-program"], sandbox.environment))


def test_output_goes_to_the_processs_own_log(sandbox: Sandbox) -> None:
    with GuardedProcesses(sandbox.directory) as guarded:
        guarded.start("speaker", Specification(["echo", "hello"], sandbox.environment))
        guarded.wait("speaker")

        assert guarded.last_line("speaker") == "hello"


@pytest.mark.usefixtures("isolation")
def test_a_killed_guard_takes_its_processes_with_it(sandbox: Sandbox) -> None:
    with GuardedProcesses(sandbox.directory) as guarded:
        guarded.start("sleeper", Specification(["sleep", "600"], sandbox.environment))

        guarded.process.kill()

        wait_until(lambda: not sandbox.left(), what="the sleeper's end")


def test_nothing_is_left_of_an_interrupted_pytest(sandbox: Sandbox) -> None:
    started = sandbox.directory / "started"
    test = sandbox.directory / "test_that_waits.py"
    test.write_text(
        "import pathlib, signal\n"
        "def test_that_waits():\n"
        f"    pathlib.Path({str(started)!r}).touch()\n"
        "    signal.pause()\n"
    )
    argv = [sys.executable, "-m", "pytest", "-c", "pyproject.toml", "--rootdir=.", str(test)]
    with (sandbox.directory / "output").open("wb") as output:
        run = subprocess.Popen(argv, env=sandbox.environment, stdout=output, stderr=output)
    try:
        wait_until(started.exists, what="the inner test")
        assert len(sandbox.left()) > 3

        run.send_signal(signal.SIGINT)

        assert run.wait(timeout=60) == pytest.ExitCode.INTERRUPTED
        wait_until(lambda: not sandbox.left(), what="the end of every process")
    finally:
        run.kill()
        run.wait()


# The command itself -------------------------------------------------------------------------------


@contextmanager
def running_up(
    sandbox: Sandbox, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `up` with web and worker on free ports; yield when all of it runs."""
    ports = {SETTINGS[name]: str(port) for name, port in asdict(Ports.free()).items()}
    output = sandbox.directory / "output"
    with output.open("wb") as file:
        command = subprocess.Popen(
            [sys.executable, "-m", "counterpoint.embedded", "up", "web", "worker"],
            env={**environment, **ports, "EMBEDDED_DIRECTORY": str(sandbox.directory / "var")},
            stdout=file,
            stderr=subprocess.STDOUT,
        )

    def is_running() -> bool:
        assert command.poll() is None, output.read_text()
        return "Counterpoint runs" in output.read_text()

    try:
        wait_until(is_running, what="the summary that `up` prints when all runs")
        yield command
    finally:
        command.kill()
        command.wait()


def without_unshare(directory: Path) -> dict[str, str]:
    """Return a PATH as on a machine that has no namespaces to offer."""
    programs = directory / "bin"
    programs.mkdir()
    for name in ("sh", "rm", "test", "setpriv"):
        found = shutil.which(name)
        if found is not None:
            (programs / name).symlink_to(found)
    return {"PATH": str(programs)}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_when_up_is_ended_by(number: signal.Signals, sandbox: Sandbox) -> None:
    with running_up(sandbox, sandbox.environment) as command:
        names = " ".join(sandbox.left().values())
        assert all(part in names for part in ("postgres", "redis", "ministack", "gunicorn"))

        command.send_signal(number)
        code = command.wait(timeout=60)

    assert code == (-number if number == signal.SIGKILL else 0)
    wait_until(lambda: not sandbox.left(), what="the end of every process")


def test_nothing_is_left_without_namespaces_either(sandbox: Sandbox) -> None:
    path = without_unshare(sandbox.directory)
    with running_up(sandbox, {**sandbox.environment, **path}) as command:
        assert "unshare" not in " ".join(sandbox.left().values())

        command.kill()

    wait_until(lambda: not sandbox.left(), what="the end of every process")
