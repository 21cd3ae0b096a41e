"""What the relay's look for scheduled events costs while 100,000 of them wait."""

from functools import partial

from bench.mailbox import Mailbox
from bench.rows import Row, at_most, measured
from bench.samples import interleave
from bench.setup import Setup
from bench.shape import SCHEDULED_EVENTS


def measure(setup: Setup) -> list[Row]:
    """The sweep with nothing due, and with ten."""
    stage = setup.stage
    env = {"DATABASE_URL": stage.create_database("bench_scheduled")}
    with stage.probe("scheduled", env) as probe:
        probe.ask("prepare", count=SCHEDULED_EVENTS)
        waits = f"{SCHEDULED_EVENTS:,} events scheduled"
        found = interleave(
            {str(due): partial(_ask, probe, due) for due in (0, 10)}, rounds=setup.rounds
        )
        return [
            measured(f"sweep with {waits}, none due", found["0"], unit="ms", goal=at_most(10)),
            measured(
                f"sweep with {waits}, ten due",
                found["10"],
                unit="ms",
                note="most of it is the commit of what it publishes",
            ),
        ]


def _ask(probe: Mailbox, due: int) -> float:
    return float(probe.ask("sweeps", due=due))
