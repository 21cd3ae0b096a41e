"""What watching costs those who write: one row at a time, and a hundred thousand."""

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Identifier, Literal

from bench.errors import BenchError
from bench.rows import Goal, Row, at_least, at_most, measured
from bench.samples import Series, interleave
from bench.setup import Setup
from bench.stage import Stage
from counterpoint.embedded import binaries
from counterpoint.embedded.services import DATABASE

CLIENTS = 4
SECONDS = 1
SINGLE_ROWS = 10_000
BULK_ROWS = 100_000
OTHERS = 100
MANY = 1_000
OURS = "acme"
# 20 columns and about 400 bytes.
WIDE: LiteralString = ", ".join(
    f"c{number} text NOT NULL DEFAULT 'some twenty letters.'" for number in range(17)
)

Connection = psycopg.Connection[tuple[Any, ...]]


def _url(stage: Stage) -> str:
    return stage.services.database_url(DATABASE)


def _make(connection: Connection, table: str, *, rows: int, capture: str | None) -> None:
    """Make a table of our company's rows anew; watched, unless `capture` is None."""
    name = Identifier(table)
    connection.execute('DELETE FROM event_system_subscription WHERE "table" = %s', [table])
    connection.execute(SQL("DROP TABLE IF EXISTS {}").format(name))
    connection.execute(
        SQL(
            "CREATE TABLE {} (id int PRIMARY KEY, company text NOT NULL, n int NOT NULL DEFAULT 0, "
            + WIDE
            + ") WITH (fillfactor = 50, autovacuum_enabled = off)"
        ).format(name)
    )
    connection.execute(
        SQL("INSERT INTO {} SELECT i, {} FROM generate_series(1, {}) i").format(
            name, Literal(OURS), Literal(rows)
        )
    )
    if capture is not None:
        connection.execute("SELECT attach_event_trigger(%s, capture => %s)", [table, capture])
    connection.execute(SQL("VACUUM ANALYZE {}").format(name))


def _subscribe(connection: Connection, table: str, *, company: str, count: int) -> None:
    """Subscribe to the table: one company that often, or, with {}, as many companies once."""
    connection.execute(
        'INSERT INTO event_system_subscription (name, company, "table", operations, handler_type)'
        " SELECT 'bench ' || %s || i, replace(%s, '{}', i::text), %s, '{UPDATE}', 'WEBHOOK'"
        " FROM generate_series(1, %s) i",
        [table, company, table, count],
    )


def _clear(connection: Connection) -> None:
    connection.execute("TRUNCATE event_system_event")
    connection.execute("CHECKPOINT")


# One row a transaction ----------------------------------------------------------------------------


def single(setup: Setup) -> list[Row]:
    """Update one row by key with four clients: untriggered, and for ever more subscribers."""
    subscribers = {
        "nobody": ("", 0),
        "others": ("other-{}", OTHERS),
        "one": (OURS, 1),
        "thousand": (OURS, MANY),
    }
    with psycopg.connect(_url(setup.stage), autocommit=True) as connection:
        _make(connection, "bench_none", rows=SINGLE_ROWS, capture=None)
        for name, (company, count) in subscribers.items():
            _make(connection, f"bench_{name}", rows=SINGLE_ROWS, capture="row")
            _subscribe(connection, f"bench_{name}", company=company, count=count)
        names = ("none", *subscribers)
        rates = {name: _rate(setup.stage, connection, f"bench_{name}") for name in names}
        found = interleave(rates, rounds=setup.rounds)
        _forget(connection, [f"bench_{name}" for name in names])
    return [
        _beside_bare(found, "nobody", "nobody subscribes", at_least(0.9, of="ratio")),
        _beside_bare(found, "others", f"{OTHERS} other companies do", at_least(0.8, of="ratio")),
        _beside_bare(found, "one", "this company does", at_least(0.65, of="ratio")),
        measured(
            f"UPDATE of one row, {CLIENTS} clients: {MANY:,} subscribers",
            found["thousand"],
            unit="tps",
            beside=("one subscriber", found["one"]),
            goal=at_least(0.9, of="ratio"),
        ),
    ]


def _beside_bare(found: Mapping[str, Series], name: str, what: str, goal: Goal) -> Row:
    return measured(
        f"UPDATE of one row, {CLIENTS} clients: {what}",
        found[name],
        unit="tps",
        beside=("untriggered", found["none"]),
        goal=goal,
    )


def _rate(stage: Stage, connection: Connection, table: str) -> Callable[[], float]:
    """Return a measure of transactions a second, counted by pgbench."""
    script = stage.services.directory / f"{table}.sql"
    script.write_text(
        f"\\set id random(1, {SINGLE_ROWS})\nUPDATE {table} SET n = n + 1 WHERE id = :id;\n"
    )
    command = [
        binaries.postgres("pgbench"), "--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}",
        f"--jobs={CLIENTS}", f"--time={SECONDS}", f"--file={script}", _url(stage),
    ]  # fmt: skip

    def rate() -> float:
        _clear(connection)
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
        counted = re.search(r"^tps = ([0-9.]+)", ended.stdout, re.MULTILINE)
        if ended.returncode != 0 or counted is None:
            raise BenchError(f"pgbench: {(ended.stderr or ended.stdout).strip().splitlines()[-1]}")
        return float(counted[1])

    return rate


# Many rows a statement ----------------------------------------------------------------------------


def bulk(setup: Setup) -> list[Row]:
    """Update a hundred thousand rows in one statement while nobody subscribes."""
    tables = {"none": None, "row": "row", "statement": "statement"}
    with psycopg.connect(_url(setup.stage), autocommit=True) as connection:
        for name, capture in tables.items():
            _make(connection, f"bench_{name}", rows=BULK_ROWS, capture=capture)
        found = interleave(
            {name: _duration(connection, f"bench_{name}") for name in tables}, rounds=setup.rounds
        )
        _forget(connection, [f"bench_{name}" for name in tables])
    return [
        measured(
            f"UPDATE of {BULK_ROWS:,} rows, nobody subscribes, captured by {name}",
            found[name],
            unit="ms",
            beside=("untriggered", found["none"]),
            goal=at_most(bound, of="ratio"),
        )
        for name, bound in (("row", 3), ("statement", 1.5))
    ]


def _duration(connection: Connection, table: str) -> Callable[[], float]:
    """Return a measure of one statement, in ms, on a table without dead rows."""
    name = Identifier(table)

    def duration() -> float:
        connection.execute(SQL("VACUUM {}").format(name))
        _clear(connection)
        began = time.perf_counter()
        connection.execute(SQL("UPDATE {} SET n = n + 1").format(name))
        return (time.perf_counter() - began) * 1000

    return duration


def _forget(connection: Connection, tables: Iterable[str]) -> None:
    for table in tables:
        connection.execute('DELETE FROM event_system_subscription WHERE "table" = %s', [table])
        connection.execute(SQL("DROP TABLE {}").format(Identifier(table)))
    _clear(connection)
