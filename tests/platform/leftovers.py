"""Find the processes that a command has started, however they cut their ties to it."""

from contextlib import suppress
from pathlib import Path


def processes_of(directory: Path, mark: str) -> dict[int, str]:
    """Return {pid: command line} of running processes that carry the mark or work in the directory.

    The mark is looked for in their environment; PostgreSQL overwrites its own, but works in its
    data. Zombies are left out: whoever is process 1 here may not collect them.
    """
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            works_there = (entry / "cwd").readlink().is_relative_to(directory)
            marked = mark.encode() in (entry / "environ").read_bytes()
            if state not in "ZX" and (works_there or marked):
                arguments = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(entry.name)] = arguments.decode(errors="replace")
    return found
