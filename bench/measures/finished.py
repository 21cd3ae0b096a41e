"""What a million finished runs in the tables cost a start."""

from bench.rows import Row, at_most, measured
from bench.samples import interleave
from bench.setup import Setup

STARTS = 200
FILL_SECONDS = 1800.0


def measure(setup: Setup) -> list[Row]:
    """`start()` in a full database and in an empty one, between each other."""
    stage = setup.stage
    empty_env = {"DATABASE_URL": stage.create_database("bench_empty")}
    full_env = {"DATABASE_URL": stage.create_database("bench_full")}
    with stage.probe("engine", empty_env) as empty, stage.probe("engine", full_env) as full:
        for probe in (empty, full):
            probe.ask("prepare")
            probe.ask("starts", count=STARTS)
        rows = full.ask("fill_finished", count=setup.finished_runs, seconds=FILL_SECONDS)
        found = interleave(
            {
                "full": lambda: float(full.ask("starts", count=STARTS)),
                "empty": lambda: float(empty.ask("starts", count=STARTS)),
            },
            rounds=setup.rounds,
        )
    return [
        measured(
            f"start() with {setup.finished_runs:,} finished runs",
            found["full"],
            unit="ms",
            beside=("empty tables", found["empty"]),
            goal=at_most(1.1, of="ratio"),
            note=f"{rows:,} rows in the engine's tables",
        )
    ]
