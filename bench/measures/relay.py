"""Events a second of one relay, what it holds, and what it costs while nothing happens."""

import time
from collections.abc import Callable
from statistics import median

import psycopg

from bench.accounting import TICK, usage
from bench.errors import BenchError
from bench.mailbox import Mailbox
from bench.rows import Row, at_least, at_most, measured
from bench.samples import Series, exact, interleave
from bench.setup import Setup
from bench.stage import Stage

SUBSCRIPTIONS = 1000
# Events of a sample, by how many subscriptions each goes to.
COUNTS = {1: 20_000, 3: 20_000, 20: 5_000}
LEAST = {1: 10_000, 3: 10_000, 20: 3_000}
LITTLE = 8.0  # MiB; its goal was set for a million events: --events 1000000
START_SECONDS = 60.0
SETTLE_SECONDS = 5.0
# Once a minute the relay's process looks at the alerts: the first look imports what it needs, the
# second is one of those that are measured.
FIRST_LOOK_SECONDS = 80.0
IDLE_SECONDS = 60.0
LOCK_CLASS = 0x7265_6C61  # the relays' advisory locks: subscriptions.shards, which loads Django
LEADS = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND classid::bigint = %s AND granted"
CHURN = 1000  # events of a turn
SNAPSHOT_SECONDS = 60.0


def rates(setup: Setup) -> list[Row]:
    """Relay backlogs in one process that hands them to SQS, too."""
    with setup.stage.probe("relay") as probe:
        probe.ask("prepare")
        found = interleave(
            {str(fan_out): relayed(probe, fan_out) for fan_out in COUNTS}, rounds=setup.rounds
        )
        companies = probe.ask("subscribe", subscriptions=SUBSCRIPTIONS, fan_out=1)
        held = probe.ask("relay", companies=companies, count=setup.events, fan_out=1, seconds=3600)
    rows = [
        measured(
            f"relay, {SUBSCRIPTIONS} subscriptions, fan-out {fan_out}",
            found[str(fan_out)],
            unit="events/s",
            goal=at_least(LEAST[fan_out]),
        )
        for fan_out in COUNTS
    ]
    name = f"relay's memory over {setup.events:,} events, more than after the first page"
    more = exact(held["memory"] / 2**20)
    return [*rows, measured(name, more, unit="MiB", goal=at_most(LITTLE))]


def relayed(probe: Mailbox, fan_out: int) -> Callable[[], float]:
    def rate() -> float:
        companies = probe.ask("subscribe", subscriptions=SUBSCRIPTIONS, fan_out=fan_out)
        count = COUNTS[fan_out]
        answer = probe.ask("relay", companies=companies, count=count, fan_out=fan_out)
        return float(answer["rate"])

    return rate


def idle(setup: Setup) -> list[Row]:
    """Count the processor time of a relay with nothing to do, and of the database it asks."""
    stage = setup.stage
    pid = stage.services.processes.process.pid
    without = _ticks(stage, pid, "PostgreSQL")
    with stage.relay() as relay:
        _wait_until_it_leads(stage)
        time.sleep(FIRST_LOOK_SECONDS)
        both = _share(pid, "relay", "PostgreSQL")
        stage.services.processes.require(relay.name)
    if not both["relay"]:
        raise BenchError("the idle relay used no processor at all")
    return [
        measured(
            "idle relay",
            exact(both["relay"]),
            unit="% of a core",
            goal=at_most(3),
            note=f"PostgreSQL beside it {max(both['PostgreSQL'] - without, 0):.1f} %",
        )
    ]


def _wait_until_it_leads(stage: Stage) -> None:
    with psycopg.connect(stage.services.environment["DATABASE_URL"], autocommit=True) as asker:
        deadline = time.monotonic() + START_SECONDS
        while asker.execute(LEADS, [LOCK_CLASS]).fetchone() is None:
            if time.monotonic() > deadline:
                raise BenchError(f"no relay led within {START_SECONDS:g} s")
            time.sleep(0.2)


def _ticks(stage: Stage, pid: int, kind: str) -> float:
    time.sleep(SETTLE_SECONDS)
    return _share(pid, kind)[kind]


def _share(pid: int, *kinds: str) -> dict[str, float]:
    """Return the percent of a core that each kind of process uses over a while."""
    before = usage(pid)
    time.sleep(IDLE_SECONDS)
    used = usage(pid) - before
    return {kind: 100 * used[kind] / TICK / IDLE_SECONDS for kind in kinds}


def snapshot(setup: Setup) -> list[Row]:
    """Route, claim and record by turns, before and while somebody holds a snapshot."""
    stage = setup.stage
    with stage.probe("relay") as probe:
        probe.ask("prepare")
        companies = probe.ask("subscribe", subscriptions=SUBSCRIPTIONS, fan_out=1)

        def turn() -> float:
            return float(probe.ask("turn", companies=companies, count=CHURN))

        _until(time.monotonic() + SNAPSHOT_SECONDS / 4, turn)
        before = _until(time.monotonic() + SNAPSHOT_SECONDS / 4, turn)
        with psycopg.connect(stage.services.environment["DATABASE_URL"]) as holder:
            holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            holder.execute("SELECT count(*) FROM event_system_subscription")
            began = time.monotonic()
            _until(began + SNAPSHOT_SECONDS, turn)
            during = _until(time.monotonic() + SNAPSHOT_SECONDS / 4, turn)
        probe.ask("clear")
    return [
        measured(
            f"routing and claiming, a snapshot held for {SNAPSHOT_SECONDS:.0f} s",
            _series(during),
            unit="events/s",
            beside=("before", _series(before)),
            goal=at_least(0.8, of="ratio"),
        )
    ]


def _until(deadline: float, turn: Callable[[], float]) -> list[float]:
    """Take turns until then, at least two; return their rates."""
    found = [turn(), turn()]
    while time.monotonic() < deadline:
        found.append(turn())
    return found


def _series(rates: list[float]) -> Series:
    """Return the rates as a series: their halves' medians are what differs by chance."""
    return Series(((median(rates[::2]), median(rates[1::2])),))
