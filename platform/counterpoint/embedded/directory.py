"""One directory of data belongs to one run at a time."""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from counterpoint.embedded.errors import EmbeddedError

WAIT_SECONDS = 20.0
POLL_SECONDS = 0.05


class DirectoryLock:
    """A lock on the directory, held until released here and closed by whoever else was given `fd`.

    The guard is given it: after a kill -9 the lock stays until the last process has ended, and a
    new run waits for that instead of meeting the old one's processes.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / "lock"
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._taken():
            holder = path.read_text().strip()
            if _is_running(holder) or time.monotonic() > deadline:
                os.close(self.fd)
                raise EmbeddedError(
                    f"{directory} is in use by another run (process {holder}); "
                    "stop that first, or set EMBEDDED_DIRECTORY"
                )
            time.sleep(POLL_SECONDS)
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, f"{os.getpid()}\n".encode(), 0)

    def _taken(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def release(self) -> None:
        """Give the lock back, as far as this process holds it."""
        os.close(self.fd)


def _is_running(pid: str) -> bool:
    try:
        state = Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return False
    return state not in "ZX"


def require_no_postgres(cluster: Path) -> None:
    """Raise EmbeddedError if a process still works in the cluster, as PostgreSQL's do."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):  # not ours to see, or ended while we looked
                if (entry / "cwd").readlink() == cluster:
                    raise EmbeddedError(
                        f"a PostgreSQL of an earlier run still uses {cluster}: "
                        f"stop process {entry.name} first"
                    )
