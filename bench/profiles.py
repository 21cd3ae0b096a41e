"""What `--profile` can show: where the time of one kind of work goes."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

from bench.accounting import TICK, usage
from bench.contestants import Engine, Flows
from bench.measures.canvases import Sides
from bench.profiling import DIRECTORY, report
from bench.shape import ENGINE_QUEUES, STARTED_AT_ONCE, STEPS, WIDTH
from bench.stage import Stage

ROUNDS = 5


def _worker(stage: Stage, flow: str, *, output: int, at_most: int) -> str:
    """Drain twice and report of the worker's pool process; its own start is in it too."""
    directory = stage.services.directory / stage.unique("profiles")
    directory.mkdir()
    with (
        stage.probe("engine") as probe,
        stage.worker(ENGINE_QUEUES, processes=1, env={DIRECTORY: str(directory)}) as worker,
    ):
        workers = [worker]
        engine = Engine(probe, flow, output=output, workers=workers, companions=[], at_most=at_most)
        rates = [engine.drain(), engine.drain()]
    shown = ", ".join(f"{rate:.1f}" for rate in rates)
    return f"{flow}: {shown} runs/s with the profiler on\n{report(directory.iterdir())}"


def _probe(stage: Stage, do: str, count: int) -> str:
    with stage.probe("engine") as probe:
        if do != "start_many":
            probe.ask(do, count=count)
        probe.ask("track_functions")
        python = probe.ask("profile", handler=do, count=count)
        return f"{python}\nIn Postgres, milliseconds a call:\n{probe.ask('function_times')}\n"


def _processors(stage: Stage) -> str:
    """Drain chains of both sides; return processor milliseconds a run by process."""
    pid = stage.services.processes.process.pid
    lines = []
    with ExitStack() as stack:
        both = Sides(stack, stage, queues=ENGINE_QUEUES[:1], peer_env={})
        contestants: dict[str, Flows] = {
            "this engine": both.engine("bench/chain"),
            "Celery": both.celery("chain"),
        }
        for name, contestant in contestants.items():
            used = sum((_ticks(contestant, pid) for _ in range(ROUNDS)), Counter[str]())
            share = 1000 / TICK / (ROUNDS * contestant.count)
            lines.append(f"{name}, chain of {STEPS}: {used.total() * share:.1f}")
            lines += [f"  {kind}: {used[kind] * share:.1f}" for kind in sorted(used)]
    return "Processor milliseconds a run\n" + "\n".join(lines)


def _ticks(contestant: Flows, pid: int) -> Counter[str]:
    before: Counter[str] = Counter()
    contestant.drain(released=lambda: before.update(usage(pid)))
    return usage(pid) - before


PROFILES: dict[str, Callable[[Stage], str]] = {
    "chain": lambda stage: _worker(stage, "bench/chain", output=1, at_most=200),
    "spread": lambda stage: _worker(stage, "bench/spread", output=1, at_most=200),
    "chord": lambda stage: _worker(stage, "bench/chord", output=WIDTH, at_most=4),
    "cpu": _processors,
    "step": lambda stage: _probe(stage, "steps", 100 * STEPS),
    "start": lambda stage: _probe(stage, "starts", 500),
    "many": lambda stage: _probe(stage, "start_many", STARTED_AT_ONCE),
}
