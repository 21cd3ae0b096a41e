"""One history: start the seed's runs, make trouble, stop it, wait for the end, judge.

In a second act levers are pulled on runs that have ended, there is trouble again, and all is judged
once more.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psycopg

from counterpoint.embedded import EmbeddedServices
from tests.faults import fixed, invariants, records
from tests.faults.app import environment
from tests.faults.app.journal import TABLES
from tests.faults.cluster import SILENT_SECONDS, Cluster
from tests.faults.mischief import Mischief
from tests.faults.numbers import is_ordinary
from tests.faults.proxy import Proxy
from tests.faults.report import Blow, Violation, describe
from tests.faults.timeline import WORKERS, Fault, timeline
from tests.waiting import POLL_SECONDS, wait_until

PATIENCE_SECONDS = 45.0  # without any step beginning or ending, when the trouble has ended
LOOK_SECONDS = 0.5
BOOT_SECONDS = 120.0
REPLAYED_A_SECOND = 6  # of the messages of a history, for each second of its trouble


@dataclass
class Outcome:
    """What a history came to."""

    seed: int
    violations: list[Violation]
    blows: list[Blow]
    counts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return describe(self.violations, seed=self.seed, blows=self.blows)


class History:
    """Plays one seed on the given services and database, whose engine tables must be empty."""

    def __init__(
        self,
        services: EmbeddedServices,
        settings: Mapping[str, str],
        *,
        seed: int,
        seconds: float,
        runs: int,
        levers: bool = True,
    ) -> None:
        self.seed = seed
        self.levers = levers
        self.before: set[int] = set()  # the step rows of the first act
        self.seconds = seconds
        self.runs = runs
        self.url = settings["DATABASE_URL"]
        self.mischief = Mischief(seed)
        self.blows: list[Blow] = []
        self.proxy = Proxy(settings["SQS_ENDPOINT_URL"], self.mischief)
        own = {
            "SQS_ENDPOINT_URL": self.proxy.url,
            environment.RUNS: str(runs),
            environment.SECONDS: str(seconds),
        }
        self.cluster = Cluster(services, seed=seed, settings={**settings, **own})

    def play(self) -> Outcome:
        """Play it to its end and return what was found; leaves no process behind."""
        with psycopg.connect(self.url) as connection:
            connection.execute(TABLES)
        with self.proxy:
            try:
                return self._play()
            finally:
                self.cluster.stop()

    def _play(self) -> Outcome:
        for name in (*WORKERS, "relay"):
            self.cluster.start(name)
        self._wait_for_workers()
        self.cluster.start("starter")
        wait_until(
            lambda: records.read(self.url, seed=self.seed), what="a run", seconds=BOOT_SECONDS
        )
        found, violations = self._act("starter", self.seconds)
        if self.levers and not violations:
            self.before = {step.id for record in found for step in record.steps.values()}
            self.cluster.is_peaceful, self.mischief.active = False, True
            self.cluster.start("levers")
            found, violations = self._act("levers", self.seconds / 2, act=2)
        violations += [] if violations else self._replay()
        violations += [
            Violation("setting", f"the proxy could not read {request}")
            for request in self.proxy.misunderstood
        ]
        return Outcome(self.seed, violations, self.blows, self._counts(found))

    def _wait_for_workers(self) -> None:
        """Trouble makes sense only when somebody works."""
        for name in WORKERS:
            wait_until(
                lambda name=name: " ready." in self.cluster.log(name),  # type: ignore[misc]  # a default binds it
                what=f"{name} is ready",
                seconds=BOOT_SECONDS,
            )

    def _act(
        self, name: str, seconds: float, *, act: int = 1
    ) -> tuple[list[records.RunRecord], list[Violation]]:
        """Make trouble while the named process acts; return how things stand in the end, and what
        is wrong with them.
        """
        self._make_trouble(seconds, act)
        self._make_peace(name)
        hanging = self._wait_for_ends()
        found = self._read()
        return found, [*hanging, *invariants.check(found, records.asks(self.url))]

    def _read(self) -> list[records.RunRecord]:
        return records.read(self.url, seed=self.seed, before=self.before)

    def _make_trouble(self, seconds: float, act: int) -> None:
        faults = timeline(self.seed, seconds=seconds, act=act)
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            while faults and faults[0].at <= elapsed:
                self._hit(faults.pop(0))
            self.cluster.tick()
            time.sleep(POLL_SECONDS)

    def _hit(self, fault: Fault) -> None:
        self.blows.append((datetime.now(UTC), str(fault)))
        if fault.kind == "silence sqs":
            self.proxy.silence(SILENT_SECONDS)
        self.cluster.hit(fault)

    def _make_peace(self, name: str) -> None:
        self.cluster.make_peace()
        self.proxy.calm_down()
        self.blows.append((datetime.now(UTC), "peace"))
        wait_until(
            lambda: self.cluster.has_ended(name), what=f"{name} has ended", seconds=BOOT_SECONDS
        )

    # The end --------------------------------------------------------------------------------------

    def _wait_for_ends(self) -> list[Violation]:
        """I1: every run ends; return those that do not when nothing has moved for long."""
        moved_at, moves = time.monotonic(), 0
        while True:
            self.cluster.tick()
            found = self._read()
            live = [record for record in found if not record.row.is_ended]
            if moves != (moves := sum(record.moves for record in found)):
                moved_at = time.monotonic()
            if not live or time.monotonic() > moved_at + PATIENCE_SECONDS:
                return [Violation("I1", f"it hangs: {r.row.status}", r) for r in live]
            time.sleep(LOOK_SECONDS)

    def _replay(self) -> list[Violation]:
        """I8: messages of the history come once more, late; return what that changed."""
        before = records.digest(self.url)
        ids = set(self.proxy.replay(limit=int(self.seconds * REPLAYED_A_SECOND)))
        try:
            wait_until(
                lambda: ids <= self.proxy.deleted, what="every replayed message is acknowledged"
            )
        except AssertionError as error:
            return [Violation("I8", f"{error}; {len(ids - self.proxy.deleted)} of {len(ids)} left")]
        after = records.digest(self.url)
        changed = [table for table in before if before[table] != after[table]]
        return [Violation("I8", f"late messages changed {table}") for table in changed]

    def _counts(self, found: list[records.RunRecord]) -> dict[str, int]:
        counts: dict[str, int] = {"runs": len(found)}
        for record in found:
            row = record.row
            name = row.status + (f"/{row.rollback}" if row.status != "succeeded" else "")
            counts[name] = counts.get(name, 0) + 1
            for what in _kinds(record):
                counts[what] = counts.get(what, 0) + 1
            for tries in record.tries.values():
                for one in tries:
                    counts[f"attempts {one.outcome}"] = counts.get(f"attempts {one.outcome}", 0) + 1
        counts["processes killed or frozen, services restarted"] = len(self.blows) - 1
        counts["messages sent"] = len(self.proxy.sent)
        return {**counts, **self.mischief.done}


def _kinds(record: records.RunRecord) -> Iterator[str]:
    """Yield what is special about a run."""
    row = record.row
    marks = {
        "ordinary runs": is_ordinary(row.number) and row.forked_from_id is None,
        "child runs": row.parent_id is not None,
        "forks": row.forked_from_id is not None,
        "retries": record.is_retried,
        "resumed": any(step.spent for step in record.steps.values()),
        "resolved": any(step.status == "resolved" for step in record.steps.values()),
        "pivoted": record.is_pivoted,
        "cut short": bool(record.left_out()),
        "singletons": row.workflow == fixed.SINGLE.name,
        "debounced": row.workflow == fixed.DEBOUNCED.name,
    }
    yield from (what for what, holds in marks.items() if holds)
