"""What one step costs inside a worker's process."""

from statistics import median

from bench.measures.limit import commits
from bench.rows import Row, at_most, measured
from bench.samples import exact, interleave
from bench.setup import Setup
from bench.shape import STEPS

RUNS = 40


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
        chain, spread = (probe.ask("counts", flow=f"bench/{flow}") for flow in ("chain", "spread"))
    cost = measured(
        f"step of a chain of {STEPS} in place, median",
        found["engine"],
        unit="ms",
        goal=at_most(0.7),
        limit=1000 / found["commits"].median,
    )
    return [cost, *counted(chain, spread)]


def counted(chain: dict[str, int], spread: dict[str, int]) -> list[Row]:
    """Return the rows of what goes over the wire: two round trips a step, or one in place."""
    return [
        measured(
            f"Postgres round trips of {STEPS} steps in place",
            exact(chain["round_trips"]),
            unit="a run",
            goal=at_most(STEPS + 1),
            note="two for the first step, one for each of the others",
        ),
        measured(
            f"Postgres round trips of {STEPS} steps, each on another queue",
            exact(spread["round_trips"]),
            unit="a run",
            goal=at_most(2 * STEPS),
        ),
        measured(
            f"SQS messages of {STEPS} steps in place",
            exact(chain["messages"]),
            unit="a run",
            goal=at_most(1),
        ),
    ]
