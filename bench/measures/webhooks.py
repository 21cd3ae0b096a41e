"""Webhooks a second, beside httpx in a loop, and beside a receiver that never answers."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench.mailbox import Mailbox
from bench.receiving import Receiver, receiving
from bench.rows import Row, at_least, measured
from bench.samples import interleave
from bench.setup import Setup
from bench.stage import Held

PROCESSES = 2
RECEIVERS = 20
COUNT = 6000
SILENT_SHARE = 20  # one event in so many goes to the receiver that never answers
PATIENCE = 120.0  # seconds
GIVEN_UP = 16.0  # seconds after which a try of the silent one has ended
BODY = (
    '{"type": "bench.happened", "id": "0190b7c6-7b1e-7d1f-9a55-6a7f5d3c2b1a", "payload": '
    '{"number": 1, "text": "a text of some length, as the rows of a business have them, and a few'
    ' more words"}, "timestamp": "2026-01-01T00:00:00.000000Z"}'
)


class Webhooks:
    """Measures how fast routed events reach their receivers, from the workers' first message."""

    def __init__(self, probe: Mailbox, worker: Held, receiver: Receiver) -> None:
        self.probe, self.worker, self.receiver = probe, worker, receiver

    def alone(self) -> float:
        return self._rate(silent=0)

    def beside_a_silent_one(self) -> float:
        """Return the rate of the others; they get as many events as without it."""
        try:
            return self._rate(silent=1)
        finally:
            time.sleep(GIVEN_UP)

    def _rate(self, *, silent: int) -> float:
        self.probe.ask("clear")
        self.receiver.clear()
        urls = [self.receiver.url(f"ok/{number}") for number in range(RECEIVERS)]
        ids = self.probe.ask("subscribe", prefix="acme", urls=urls)
        self.worker.hold()
        if silent:
            self.probe.ask("subscribe", prefix="mute", urls=[self.receiver.url("never")])
            self.probe.ask("route", prefix="mute", companies=1, count=COUNT // SILENT_SHARE)
        self.probe.ask("route", prefix="acme", companies=RECEIVERS, count=COUNT)
        began = time.time()
        self.worker.release()
        self.receiver.wait_for(COUNT, seconds=PATIENCE)
        came = [one.at for one in self.receiver.arrivals() if one.path.startswith("/ok")]
        self.probe.ask("wait", subscriptions=ids, count=COUNT, wait_seconds=PATIENCE)
        return len(came) / (max(came) - began)


def bare(probes: list[Mailbox], kind: str, receiver: Receiver) -> Callable[[], float]:
    """Return a measure of requests a second of httpx alone, in as many processes."""

    def rate() -> float:
        receiver.clear()
        each = COUNT // len(probes)
        began = time.time()
        with ThreadPoolExecutor(len(probes)) as pool:
            ended = pool.map(
                lambda probe: probe.ask(kind, url=receiver.url(), body=BODY, count=each), probes
            )
            return COUNT / (max(map(float, ended)) - began)

    return rate


def measure(setup: Setup) -> list[Row]:
    with ExitStack() as stack:
        stage = setup.stage
        receiver = stack.enter_context(receiving(stage.services))
        env = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
        webhooks = Webhooks(
            stack.enter_context(stage.probe("webhooks", env)),
            stack.enter_context(stage.worker(["webhooks"], processes=PROCESSES, env=env)),
            receiver,
        )
        probes = [stack.enter_context(stage.probe("bare")) for _ in range(PROCESSES)]
        found = interleave(
            {
                "webhooks": webhooks.alone,
                "threads": bare(probes, "threads", receiver),
                "tasks": bare(probes, "tasks", receiver),
                "silent": webhooks.beside_a_silent_one,
            },
            rounds=setup.rounds,
        )
    best = max(("threads", "tasks"), key=lambda kind: found[kind].median)
    return [
        measured(
            "webhooks, 2 processes",
            found["webhooks"],
            unit="a second",
            goal=at_least(1000),
        ),
        measured(
            "webhooks beside httpx alone",
            found["webhooks"],
            unit="a second",
            beside=(f"httpx in {best}", found[best]),
            goal=at_least(0.5, of="ratio"),
        ),
        measured(
            "webhooks while one receiver never answers",
            found["silent"],
            unit="a second",
            beside=("without it", found["webhooks"]),
            goal=at_least(0.95, of="ratio"),
        ),
    ]
