"""Where the time goes: cProfile around a probe's handler, or in each pool process of a worker.

With the wall's clock what waits counts, for a lock or the disk; with the processor's only what
works, so that a busy machine does not matter.
"""

import cProfile
import io
import os
import pstats
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from celery import signals

from bench.mailbox import Handler

DIRECTORY = "BENCH_PROFILES"  # where a worker's pool processes leave their figures
CLOCK = "BENCH_CLOCK"
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
LINES = 45


def profiler() -> cProfile.Profile:
    """Return a profiler on the clock that the environment names."""
    return cProfile.Profile(CLOCKS[os.environ.get(CLOCK, "wall")])


def report(profiles: Iterable[cProfile.Profile | Path]) -> str:
    """Return the functions that took most, by their own time and by all below them."""
    first, *others = [str(each) if isinstance(each, Path) else each for each in profiles]
    text = io.StringIO()
    statistics = pstats.Stats(first, stream=text).strip_dirs()
    for other in others:
        statistics.add(other)
    statistics.sort_stats("tottime").print_stats(LINES)
    statistics.sort_stats("cumulative").print_stats(LINES)
    return text.getvalue()


def profiled(handlers: Mapping[str, Handler]) -> Handler:
    """Return a handler that runs another one and returns the report instead of its answer."""

    def profile(handler: str, **arguments: Any) -> str:
        made = profiler()
        made.runcall(handlers[handler], **arguments)
        return report([made])

    return profile


def profile_pool_processes() -> None:
    """Profile each pool process from its start to its end, if the directory for it is set."""
    directory = os.environ.get(DIRECTORY)
    if not directory:
        return
    made = profiler()

    def begin(**_: Any) -> None:
        made.enable()

    def end(**_: Any) -> None:
        made.disable()
        made.dump_stats(Path(directory) / f"{os.getpid()}.pstats")

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
