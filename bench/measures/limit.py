"""The machine's own limit: how often its Postgres commits."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg

from bench.rows import Row, measured
from bench.samples import interleave
from bench.setup import Setup
from bench.stage import Stage

SECONDS = 0.5
TABLE = "bench_commits"


def commits(stage: Stage, *, connections: int) -> Callable[[], float]:
    """Return a measure of commits a second: one-row UPDATEs by key, each connection its own row."""
    url = stage.services.database_url("postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (id int PRIMARY KEY, n int)")
        for number in range(connections):
            statement = f"INSERT INTO {TABLE} VALUES (%s, 0) ON CONFLICT DO NOTHING"
            connection.execute(statement, [number])

    def rate() -> float:
        with ThreadPoolExecutor(connections) as pool:
            return sum(pool.map(partial(_commit, url), range(connections)))

    return rate


def _commit(url: str, row: int) -> float:
    """Commit for a while and return how often a second."""
    done = 0
    with psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < SECONDS:
            connection.execute(f"UPDATE {TABLE} SET n = n + 1 WHERE id = %s", [row])
            done += 1
    return done / passed


def measure(setup: Setup) -> list[Row]:
    """Measure one connection and eight, between each other."""
    found = interleave(
        {str(number): commits(setup.stage, connections=number) for number in (1, 8)},
        rounds=setup.rounds,
    )
    return [
        measured("Postgres commits, one connection", found["1"], unit="commits/s"),
        measured("Postgres commits, eight connections", found["8"], unit="commits/s"),
    ]
