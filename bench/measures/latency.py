"""From a write to the webhook's arrival: relay, workers and SQS are processes, as in production."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from bench.errors import BenchError
from bench.mailbox import Mailbox
from bench.receiving import Receiver, receiving
from bench.rows import Row, at_most, measured
from bench.samples import Series
from bench.setup import Setup

PROCESSES = 2
WARM_UP = 20
SAMPLES = 200  # of each round
PAUSE_SECONDS = 0.08  # between writes to an idle system, and up to twice that
RATE = 200.0  # writes a second, for the busy one
BUSY_SECONDS = 10.0
PATIENCE = 60.0
COMPANY = "acme"
ENVIRONMENT = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
WRITE = "INSERT INTO bench_order (company, status) VALUES (%s, 'x') RETURNING id"


class Path:
    """A watched table at one end, a receiver at the other."""

    def __init__(self, url: str, probe: Mailbox, receiver: Receiver) -> None:
        self._url = url
        self._probe = probe
        self._receiver = receiver

    def idle(self, count: int = SAMPLES) -> list[float]:
        """Return the milliseconds of single writes, each after some rest."""
        rest = random.Random(count)  # noqa: S311 - not to be in step with what polls
        return self._milliseconds(rest.uniform(1, 2) * PAUSE_SECONDS for _ in range(count))

    def busy(self) -> list[float]:
        """Return the milliseconds of writes at a steady rate."""
        return self._milliseconds(1 / RATE for _ in range(int(RATE * BUSY_SECONDS)))

    def _milliseconds(self, pauses: Iterator[float]) -> list[float]:
        self._receiver.clear()
        written: dict[str, float] = {}
        with psycopg.connect(self._url, autocommit=True) as writer:
            due = time.time()
            for pause in pauses:
                due += pause
                time.sleep(max(0.0, due - time.time()))
                row = writer.execute(WRITE, [COMPANY]).fetchone()
                written[str(row[0] if row else 0)] = time.time()  # committed
        self._receiver.wait_for(len(written), seconds=PATIENCE)
        records = self._probe.ask("events")
        found: dict[str, float] = {}
        for arrival in self._receiver.arrivals():
            record = records[arrival.webhook_id.split("_")[1]]
            if record in written:
                found.setdefault(record, (arrival.at - written[record]) * 1000)
        if len(found) != len(written):
            raise BenchError(f"{len(written) - len(found)} of {len(written)} writes never arrived")
        return sorted(found.values())


def measure(setup: Setup) -> list[Row]:
    """Time writes to an idle system, beside an open transaction, and at 200 a second."""
    url = setup.stage.services.environment["DATABASE_URL"]
    with ExitStack() as stack:
        receiver = stack.enter_context(receiving(setup.stage.services))
        probe = stack.enter_context(setup.stage.probe("relay", ENVIRONMENT))
        probe.ask("prepare")
        probe.ask("deliver_to", company=COMPANY, url=receiver.url())
        stack.enter_context(setup.stage.relay(ENVIRONMENT))
        stack.enter_context(setup.stage.worker(["webhooks"], processes=PROCESSES, env=ENVIRONMENT))
        path = Path(url, probe, receiver)
        path.idle(WARM_UP)
        alone, beside, busy = [], [], []
        for _ in range(setup.rounds):
            alone.append(path.idle())
            with open_transaction(setup.stage.services.database_url("postgres")):
                beside.append(path.idle())
            busy.append(path.busy())
        probe.ask("clear")
    return [
        *_rows("commit to webhook, idle", alone, median=100, p99=300),
        *_rows(
            "commit to webhook, a write transaction open elsewhere", beside, median=100, p99=300
        ),
        *_rows(f"commit to webhook, {RATE:.0f} events/s", busy, median=None, p99=1000),
    ]


@contextmanager
def open_transaction(url: str) -> Iterator[None]:
    """Hold a transaction that has written in another database of the cluster."""
    with psycopg.connect(url) as holder:
        holder.execute("SELECT pg_current_xact_id()")
        yield
        holder.rollback()


def _rows(name: str, rounds: list[list[float]], *, median: float | None, p99: float) -> list[Row]:
    made = []
    for label, share, goal in (("median", 0.5, median), ("p99", 0.99, p99)):
        series = Series(tuple((_at(r[::2], share), _at(r[1::2], share)) for r in rounds))
        made.append(
            measured(f"{name}, {label}", series, unit="ms", goal=at_most(goal) if goal else None)
        )
    return made


def _at(times: list[float], share: float) -> float:
    """Return the time that this share of the sorted times is not above."""
    return times[min(int(len(times) * share), len(times) - 1)]
