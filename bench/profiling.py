"""Where the time goes: cProfile around a probe's handler, or in each pool process of a worker."""

import cProfile
import io
import os
import pstats
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from celery import signals

from bench.mailbox import Handler

DIRECTORY = "BENCH_PROFILES"  # where a worker's pool processes leave their figures
LINES = 45


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
        made = cProfile.Profile()
        made.runcall(handlers[handler], **arguments)
        return report([made])

    return profile


def profile_pool_processes() -> None:
    """Profile each pool process from its start to its end, if the directory for it is set."""
    directory = os.environ.get(DIRECTORY)
    if not directory:
        return
    made = cProfile.Profile()

    def begin(**_: Any) -> None:
        made.enable()

    def end(**_: Any) -> None:
        made.disable()
        made.dump_stats(Path(directory) / f"{os.getpid()}.pstats")

    signals.worker_process_init.connect(begin, weak=False)
    signals.worker_process_shutdown.connect(end, weak=False)
