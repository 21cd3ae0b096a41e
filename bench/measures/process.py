"""Steps a second of one process: a worker's beside DBOS's."""

from contextlib import ExitStack

from bench.contestants import Engine
from bench.errors import BenchError
from bench.measures.limit import commits
from bench.rows import Row, at_least, measured, skipped
from bench.samples import interleave
from bench.setup import Setup
from bench.shape import ENGINE_QUEUES, STEPS

CHAINS = 400
FLOWS = 60
NAME = "chain of 5, one process"
UNIT = "steps/s"
GOAL = at_least(4, of="ratio")


def measure(setup: Setup) -> list[Row]:
    """Drain chains with one worker process; DBOS runs as many steps in one, the way it likes best.

    DBOS is called directly, without its queue: one workflow after the other or several in threads.
    """
    with ExitStack() as stack:
        try:
            url = setup.stage.create_database("bench_dbos")
            dbos = stack.enter_context(setup.stage.probe("dbos", {"DBOS_URL": url}))
            dbos.ask("flows", count=10)
        except BenchError as error:
            return [skipped(NAME, unit=UNIT, why=str(error), goal=GOAL)]
        probe = stack.enter_context(setup.stage.probe("engine"))
        relay = stack.enter_context(setup.stage.relay())
        worker = stack.enter_context(setup.stage.worker(ENGINE_QUEUES[:1], processes=1))
        engine = Engine(
            probe, "bench/chain", output=1, workers=[worker], companions=[relay], at_most=CHAINS
        )
        found = interleave(
            {
                "engine": lambda: engine.drain() * STEPS,
                "dbos": lambda: float(dbos.ask("flows", count=FLOWS)) * STEPS,
                "commits": commits(setup.stage, connections=1),
            },
            rounds=setup.rounds,
        )
    return [
        measured(
            NAME,
            found["engine"],
            unit=UNIT,
            beside=("DBOS workflow", found["dbos"]),
            goal=GOAL,
            limit=found["commits"].median,
            note="DBOS without its queue, the better of one after the other and 8 threads",
        )
    ]
