"""What it costs to start a run, and ten thousand."""

from bench.errors import BenchError
from bench.measures.limit import commits
from bench.rows import Row, at_least, at_most, measured
from bench.samples import interleave
from bench.setup import Setup
from bench.shape import STARTED_AT_ONCE

STARTS = 200


def one(setup: Setup) -> list[Row]:
    """`start()` as its caller sees it: stored, committed, and its message on the way."""
    with setup.stage.probe("engine") as probe:
        probe.ask("starts", count=STARTS)
        found = interleave(
            {
                "start": lambda: float(probe.ask("starts", count=STARTS)),
                "commits": commits(setup.stage, connections=1),
            },
            rounds=setup.rounds,
        )
    limit = 1000 / found["commits"].median
    return [measured("start(), median", found["start"], unit="ms", goal=at_most(2), limit=limit)]


def many(setup: Setup) -> list[Row]:
    """`start_many()`, committed and returned, and the time until SQS has every message."""
    name, goal = f"start_many() of {STARTED_AT_ONCE:,} runs, returned", at_least(2000)
    last = f"start_many() of {STARTED_AT_ONCE:,} runs, last message sent"
    env = {"DATABASE_URL": setup.stage.create_database("bench_many")}
    with setup.stage.probe("engine", env) as probe:
        probe.ask("prepare")
        sent: list[float] = []

        def returned() -> float:
            answer = probe.ask("start_many", count=STARTED_AT_ONCE)
            sent.append(answer["sent"])
            return float(STARTED_AT_ONCE / answer["returned"])

        found = interleave({"returned": returned}, rounds=setup.rounds)
    if len(sent) != 2 * setup.rounds:
        raise BenchError(f"{len(sent)} samples of start_many, not {2 * setup.rounds}")
    times = interleave({"sent": iter(sent).__next__}, rounds=setup.rounds)
    return [
        measured(name, found["returned"], unit="runs/s", goal=goal),
        measured(last, times["sent"], unit="s"),
    ]
