"""Messages a second that one ingest process takes in."""

from collections.abc import Callable

from bench.mailbox import Mailbox
from bench.rows import Row, at_least, measured
from bench.samples import interleave
from bench.setup import Setup

THREADS = 4  # as INGEST_THREADS
MESSAGES = 2500  # few: the emulator takes longer over a longer queue
NAME = f"ingest, one process of {THREADS} threads"
UNIT = "messages/s"


def measure(setup: Setup) -> list[Row]:
    """Drain the queue `events` by turns with ingest, and with threads that receive and delete."""
    with setup.stage.probe("ingest") as probe:
        probe.ask("clear")
        rate(probe, "ingest")()  # connections, and the plans of statements
        found = interleave({do: rate(probe, do) for do in ("ingest", "bare")}, rounds=setup.rounds)
        probe.ask("clear")
    return [
        measured(NAME, found["ingest"], unit=UNIT, goal=at_least(1500)),
        measured(
            f"{NAME}, beside threads that only receive and delete",
            found["ingest"],
            unit=UNIT,
            beside=("bare boto3", found["bare"]),
            goal=at_least(0.8, of="ratio"),
        ),
    ]


def rate(probe: Mailbox, do: str) -> Callable[[], float]:
    def sample() -> float:
        probe.ask("fill", messages=MESSAGES)
        return float(probe.ask(do, messages=MESSAGES, threads=THREADS))

    return sample
