"""Who uses the processor while something is measured, read from /proc: Linux only.

Unlike times, this hardly depends on what else the machine does.
"""

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

# What is in a process's command line, and what it is called here; the first that fits.
KINDS = {
    "ministack": "SQS emulator",
    "postgres": "PostgreSQL",
    "redis-server": "Redis",
    "bench.probe": "starting and waiting",
    "manage.py": "relay",
    "celery": "worker",
}
TICK = os.sysconf("SC_CLK_TCK")


def usage(root: int) -> Counter[str]:
    """Return the clock ticks so far, TICK a second, of all that run below `root`, by kind."""
    found: Counter[str] = Counter()
    for pid, parent in _below(root).items():
        with suppress(OSError):  # it ended while we looked
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[_kind(pid, parent)] += int(fields[11]) + int(fields[12])
    return found


def _below(root: int) -> dict[int, int]:
    """Return the processes below `root`, each with its parent."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found: dict[int, int] = {}
    while more := {p: of for p, of in parents.items() if p not in found and of in {root, *found}}:
        found |= more
    return found


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def _kind(pid: int, parent: int) -> str:
    command = _command(pid)
    kind = next((kind for part, kind in KINDS.items() if part in command), "others")
    if kind == "worker":
        return "worker: pool processes" if "celery" in _command(parent) else "worker: main process"
    return kind
