"""What one step costs inside a worker's process."""

from statistics import median

from bench.measures.limit import commits
from bench.rows import Row, at_most, measured
from bench.samples import interleave
from bench.setup import Setup

RUNS = 40
NAME = "step in place, median"


def measure(setup: Setup) -> list[Row]:
    """Run chains to their ends in one process, on one connection and without a broker."""
    with setup.stage.probe("engine") as probe:
        probe.ask("steps", count=RUNS)
        found = interleave(
            {
                "engine": lambda: median(probe.ask("steps", count=RUNS)),
                "commits": commits(setup.stage, connections=1),
            },
            rounds=setup.rounds,
        )
        probe.ask("clear")
    limit = 1000 / found["commits"].median
    return [measured(NAME, found["engine"], unit="ms", goal=at_most(0.7), limit=limit)]
