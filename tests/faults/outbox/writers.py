"""One writer: `python -m tests.faults.outbox.writers URL SEED NUMBER EVENTS`.

Each transaction adds 1 to the version of some records, holds for a while here and there, and ends
in one of four ways; parts of it are rolled back to a savepoint. Ends when so many events are
committed.
"""

import contextlib
import random
import sys
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from tests.faults.outbox.tables import CAPTURES, RECORDS
from tests.faults.seeds import rng

ENDS = {"commit": 70, "roll back": 10, "prepare and commit": 12, "prepare and roll back": 8}
HOLDS = {0.0: 70, 0.005: 20, 0.05: 8, 0.4: 2}  # seconds


class Writer:
    def __init__(self, connection: psycopg.Connection[Any], *, seed: int, number: int) -> None:
        self.connection = connection
        self.draw: random.Random = rng(seed, "writer", number)
        self.name = f"writer {number}"
        self.committed = 0

    def write(self) -> None:
        """Play one transaction; one that a deadlock ends has written nothing."""
        with contextlib.suppress(psycopg.errors.DeadlockDetected):
            try:
                self._transaction()
            finally:
                self.connection.execute("ROLLBACK")  # a warning if it has ended already

    def _transaction(self) -> None:
        ids = sorted(self.draw.sample(range(1, RECORDS + 1), self.draw.randint(1, 15)))
        middle = len(ids) // 2
        self.connection.execute("BEGIN")
        written = self._update(ids[:middle])
        if self.draw.random() < 0.3:
            self.connection.execute("SAVEPOINT part")
            self._update(ids[middle:])
            self.connection.execute("ROLLBACK TO SAVEPOINT part")
        else:
            written += self._update(ids[middle:])
        if self._end():
            self.committed += written

    def _update(self, ids: Sequence[int]) -> int:
        """Update the records in one statement; return how many events that makes."""
        table = self.draw.choice(sorted(CAPTURES))
        self.connection.execute(
            f"UPDATE {table} SET version = version + 1 WHERE id = ANY (%s)",  # noqa: S608 - ours
            [list(ids)],
        )
        self._hold()
        return len(ids)

    def _end(self) -> bool:
        """End the transaction; return whether it is committed."""
        (end,) = self.draw.choices(list(ENDS), list(ENDS.values()))
        if end.startswith("prepare"):
            self.connection.execute(f"PREPARE TRANSACTION '{self.name}'")
            self._hold()
        suffix = f" PREPARED '{self.name}'" if end.startswith("prepare") else ""
        is_committed = end.endswith("commit")
        self.connection.execute(("COMMIT" if is_committed else "ROLLBACK") + suffix)
        return is_committed

    def _hold(self) -> None:
        (seconds,) = self.draw.choices(list(HOLDS), list(HOLDS.values()))
        time.sleep(seconds)


def main() -> None:
    url, seed, number, events = sys.argv[1], *map(int, sys.argv[2:])
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET deadlock_timeout = '50ms'")
        writer = Writer(connection, seed=seed, number=number)
        while writer.committed < events:
            writer.write()


if __name__ == "__main__":
    main()
