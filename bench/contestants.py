"""Two sides of one contest: this engine's runs and Celery's canvases, on workers of their own.

`drain` measures what the workers can do: everything is in the queue before they are let go, and the
clock runs until the last end. `live` counts the starting too, by one process while they work.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.mailbox import Mailbox
from bench.stage import Held, Stage

WARM_UP = 10
SECONDS = 2.0  # how long a sample should last
PATIENCE_SECONDS = 120.0


class Flows:
    """What both sides do alike; figures are flows a second.

    `workers` are held while a backlog is made; `companions` work in this side's turns only.
    """

    def __init__(
        self, workers: list[Held], *, companions: list[Held] | None = None, at_most: int
    ) -> None:
        self._workers = workers
        self._companions = companions or []
        self.count = min(WARM_UP, at_most)
        self.live()  # the pool's first tasks open its connections
        self.count = max(1, min(at_most, round(self.live() * SECONDS)))

    def drain(self, *, released: Callable[[], None] | None = None) -> float:
        """Return the rate at which workers, once let go, finish what waits for them.

        `released` is called when everything is started, right before they are let go.
        """
        with self._turn():
            with held(self._workers):
                _, ticket = self._start()
                if released is not None:
                    released()
            began = time.time()
            return self.count / (self._last_end(ticket) - began)

    def live(self) -> float:
        """Return the rate from the first start to the last end."""
        with self._turn():
            began, ticket = self._start()
            return self.count / (self._last_end(ticket) - began)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        for companion in self._companions:
            companion.release()
        yield
        for companion in self._companions:
            companion.hold()

    def _start(self) -> tuple[float, object]:
        """Start `count` flows; return the Unix time before the first, and what to wait for."""
        raise NotImplementedError

    def _last_end(self, ticket: object) -> float:
        """Wait until all of them have ended and return the Unix time of the last end."""
        raise NotImplementedError


@contextmanager
def held(processes: list[Held]) -> Iterator[None]:
    """Stop the processes for the length of the block."""
    for process in processes:
        process.hold()
    try:
        yield
    finally:
        for process in processes:
            process.release()


class Engine(Flows):
    """Runs of one of `bench.flows`'s workflows, each checked for its output and its attempts."""

    def __init__(
        self,
        box: Mailbox,
        flow: str,
        *,
        output: int,
        workers: list[Held],
        companions: list[Held],
        at_most: int,
    ) -> None:
        self._box = box
        self._flow = flow
        self._output = output
        super().__init__(workers, companions=companions, at_most=at_most)

    def _start(self) -> tuple[float, object]:
        answer = self._box.ask("start", flow=self._flow, count=self.count)
        self._box.ask("settle")
        return answer["began"], answer["ids"]

    def _last_end(self, ticket: object) -> float:
        return float(
            self._box.ask("wait", ids=ticket, output=self._output, wait_seconds=PATIENCE_SECONDS)
        )


class Celery(Flows):
    """Celery's own canvas of that kind: see `bench.celery_peer`."""

    def __init__(
        self, box: Mailbox, stage: Stage, kind: str, *, workers: list[Held], at_most: int
    ) -> None:
        self._box = box
        self._stage = stage
        self._kind = kind
        super().__init__(workers, at_most=at_most)

    def _start(self) -> tuple[float, object]:
        batch = self._stage.unique(self._kind)
        answer = self._box.ask("publish", kind=self._kind, batch=batch, count=self.count)
        return answer["began"], batch

    def _last_end(self, ticket: object) -> float:
        return float(
            self._box.ask("wait", batch=ticket, count=self.count, wait_seconds=PATIENCE_SECONDS)
        )
