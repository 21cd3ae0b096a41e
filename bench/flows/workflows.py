"""Workflows of steps that do nothing, so that what is measured is the engine."""

from bench.profiling import profile_pool_processes
from bench.shape import ENGINE_QUEUES as QUEUES
from bench.shape import STEPS, WIDTH
from jobs import Context, each, parallel, step, workflow

profile_pool_processes()


@step(name="bench-noop")
def noop(ctx: Context, token: int) -> int:
    return token


@step(name="bench-join")
def join(ctx: Context, tokens: list[int]) -> int:
    return sum(tokens)


@workflow(name="bench/chain", queue=QUEUES[0])
def chain(token: int) -> int:
    for _ in range(STEPS):
        token = noop(token)
    return token


@workflow(name="bench/spread", queue=QUEUES[0])
def spread(token: int) -> int:
    """Never continues in place: each step is on another queue than the one before it."""
    for queue in QUEUES:
        token = noop.options(queue=queue)(token)
    return token


@workflow(name="bench/chord", queue=QUEUES[0])
def chord(token: int) -> int:
    return join(list(parallel(*[noop(token) for _ in range(WIDTH)])))


@workflow(name="bench/each", queue=QUEUES[0])
def spread_items(tokens: list[int]) -> int:
    return join(each(tokens, noop))
