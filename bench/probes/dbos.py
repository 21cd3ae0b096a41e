"""DBOS on the same Postgres: a workflow of five steps that do nothing, in this one process."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

from bench.shape import STEPS

AT_ONCE = 8

DBOS(
    config={
        "name": "bench",
        "system_database_url": os.environ["DBOS_URL"],
        "run_admin_server": False,  # it would listen on a fixed port
        "log_level": "WARNING",
    }
)


def _noop(token: int) -> int:
    return token


def _chain(token: int) -> int:
    for _ in range(STEPS):
        token = noop(token)
    return token


# Not as decorators: mypy sees no types here, as DBOS is there for the benchmark only.
noop: Callable[[int], int] = DBOS.step(name="noop")(_noop)
chain: Callable[[int], int] = DBOS.workflow(name="chain")(_chain)
DBOS.launch()


def flows(count: int) -> float:
    """Return workflows a second, one after the other or several at once: whichever is more."""
    return max(_flows(count, at_once=1), _flows(count, at_once=AT_ONCE))


def _flows(count: int, *, at_once: int) -> float:
    with ThreadPoolExecutor(at_once) as pool:
        began = time.perf_counter()
        for token in pool.map(chain, [1] * count):
            if token != 1:
                raise ValueError(f"the workflow returned {token!r}")
        return count / (time.perf_counter() - began)


HANDLERS = {"flows": flows}
