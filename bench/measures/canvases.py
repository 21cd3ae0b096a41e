"""Chains and chords: this engine's workers beside as many of Celery's."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from bench.contestants import Celery, Engine
from bench.measures.limit import commits
from bench.rows import Goal, Row, at_least, measured
from bench.samples import Measure, Series, interleave
from bench.setup import Setup
from bench.shape import ENGINE_QUEUES, PEER_QUEUE, PEER_QUEUES, STEPS, WIDTH
from bench.stage import Stage

PROCESSES = 2
CHAINS = 400  # a queue is short, or the emulator's receive is what is measured
CHORDS = 10
RESULTS = {"PEER_RESULTS": "redis"}


class Sides:
    """Workers of both sides with the probes that start work for them."""

    def __init__(
        self,
        stack: ExitStack,
        stage: Stage,
        *,
        queues: Sequence[str],
        peer_env: Mapping[str, str],
    ) -> None:
        self._stage = stage
        self._stack = stack
        self._env = peer_env
        self.probe = stack.enter_context(stage.probe("engine"))
        self._peer_probe = stack.enter_context(stage.probe("celery", peer_env))
        self._relay = stack.enter_context(stage.relay())
        self._worker = stack.enter_context(stage.worker(queues, processes=PROCESSES))

    def engine(self, flow: str, *, output: int = 1, at_most: int = CHAINS) -> Engine:
        """Return the runs of a workflow as a contestant, warmed up."""
        return Engine(
            self.probe,
            flow,
            output=output,
            workers=[self._worker],
            companions=[self._relay],
            at_most=at_most,
        )

    def celery(
        self, kind: str, *, queues: Sequence[str] = (PEER_QUEUE,), at_most: int = CHAINS
    ) -> Celery:
        """Return Celery's canvases of a kind as a contestant, with a worker of its own."""
        worker = self._stack.enter_context(
            self._stage.worker(queues, processes=PROCESSES, app="bench.celery_peer", env=self._env)
        )
        return Celery(self._peer_probe, self._stage, kind, workers=[worker], at_most=at_most)


@contextmanager
def sides(
    setup: Setup,
    *,
    queues: Sequence[str] = ENGINE_QUEUES[:1],
    peer_env: Mapping[str, str] | None = None,
) -> Iterator[Sides]:
    with ExitStack() as stack:
        yield Sides(stack, setup.stage, queues=queues, peer_env=peer_env or {})


def chain(setup: Setup) -> list[Row]:
    """Chain of five in place beside Celery's, drained, and with the starting counted."""
    with sides(setup) as both:
        engine, celery = both.engine("bench/chain"), both.celery("chain")
        rate = commits(setup.stage, connections=PROCESSES)
        drained = interleave(
            {"engine": engine.drain, "celery": celery.drain, "commits": rate}, rounds=setup.rounds
        )
        live = interleave({"engine": engine.live, "celery": celery.live}, rounds=setup.rounds)
    most = drained["commits"].median / STEPS
    return [
        row("chain of 5, 2 worker processes", drained, goal=at_least(6, of="ratio"), limit=most),
        row("chain of 5, starting counted, by one process", live),
    ]


def spread(setup: Setup) -> list[Row]:
    """The chain with every step on another queue, beside Celery's on one queue and on five."""
    with sides(setup, queues=ENGINE_QUEUES) as both:
        contestants: dict[str, Measure] = {
            "engine": both.engine("bench/spread").drain,
            "celery": both.celery("chain").drain,
            "spread": both.celery("spread", queues=PEER_QUEUES).drain,
        }
        found = interleave(contestants, rounds=setup.rounds)
    five = {"engine": found["engine"], "celery": found["spread"]}
    return [
        row("chain of 5, each step on another queue", found, goal=at_least(1, of="ratio")),
        row("chain of 5, likewise Celery's", five, label="Celery chain over 5 queues"),
    ]


def chord(setup: Setup) -> list[Row]:
    """A chord of a hundred beside Celery's on the Redis result backend; `each` as well."""
    with sides(setup, peer_env=RESULTS) as both:
        contestants: dict[str, Measure] = {
            "engine": both.engine("bench/chord", output=WIDTH, at_most=CHORDS).drain,
            "celery": both.celery("chord", at_most=CHORDS).drain,
        }
        each = both.engine("bench/each", output=WIDTH, at_most=CHORDS)
        contestants["each"] = each.drain
        found = interleave(contestants, rounds=setup.rounds)
    label = "Celery chord, Redis results"
    note = "every join once, checked"
    rows = [
        row(
            f"chord of {WIDTH}, 2 worker processes",
            found,
            label=label,
            goal=at_least(2, of="ratio"),
            note=note,
        )
    ]
    name = f"each() of {WIDTH}, 2 worker processes"
    pair = {"engine": found["each"], "celery": found["celery"]}
    return [*rows, row(name, pair, label=label, note=note)]


def row(
    name: str,
    found: Mapping[str, Series],
    *,
    label: str = "Celery chain",
    goal: Goal | None = None,
    limit: float | None = None,
    note: str = "",
) -> Row:
    """Return the row of runs a second beside Celery's canvases a second."""
    return measured(
        name,
        found["engine"],
        unit="runs/s",
        beside=(label, found["celery"]),
        goal=goal,
        limit=limit,
        note=note,
    )
