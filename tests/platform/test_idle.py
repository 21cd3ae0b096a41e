"""What a worker with nothing to do costs: requests to SQS, counted on the wire."""

import os
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest
from django.conf import settings

from tests.faults.mischief import Mischief
from tests.faults.proxy import Json, Proxy, Request
from tests.platform.conftest import Workers
from tests.waiting import wait_until

PER_MINUTE = 4
# More of them for a longer look: 3 take a minute.
POLLS = int(os.environ.get("IDLE_POLLS", "1"))


class Watching(Proxy):
    """Passes everything on unharmed and notes when which queue was asked what."""

    def __init__(self, upstream: str) -> None:
        calm = Mischief(seed=0)
        calm.active = False
        super().__init__(upstream, calm)
        self.asked: dict[str, list[tuple[float, str]]] = defaultdict(list)

    def answer(self, request: Request) -> Json:
        queue = str(request.parameters.get("QueueUrl", "")).rpartition("/")[2]
        self.asked[queue].append((time.monotonic(), request.operation))
        return super().answer(request)

    def since_the_first_poll(self) -> list[list[tuple[float, str]]]:
        """The requests of each consumed queue, from its first ReceiveMessage on."""
        found = []
        for requests in list(self.asked.values()):
            names = [operation for _, operation in requests]
            if "ReceiveMessage" in names:
                found.append(requests[names.index("ReceiveMessage") :])
        return found


@pytest.fixture
def proxy() -> Iterator[Watching]:
    with Watching(settings.SQS_ENDPOINT_URL) as made:
        yield made


def test_an_idle_worker_asks_sqs_at_most_four_times_a_minute_and_queue(
    workers: Workers, proxy: Watching
) -> None:
    workers.environment["SQS_ENDPOINT_URL"] = proxy.url
    workers.start("idle")
    consumed = [queue for queue in settings.QUEUES if queue.consumed_by_worker]

    def has_polled() -> bool:
        polls = proxy.since_the_first_poll()
        return len(polls) == len(consumed) and min(map(len, polls)) > POLLS

    wait_until(has_polled, what="some long polls of each queue", seconds=40.0 * POLLS)

    for requests in proxy.since_the_first_poll():
        elapsed = requests[-1][0] - requests[0][0]
        assert (len(requests) - 1) * 60 / elapsed <= PER_MINUTE, requests
    assert proxy.misunderstood == []
