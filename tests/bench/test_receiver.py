"""The receiver of webhooks that benchmarks send to."""

import http.client
from collections.abc import Iterator

import pytest

from bench.errors import BenchError
from bench.receiving import Receiver, receiving
from counterpoint.embedded import EmbeddedServices


@pytest.fixture
def receiver(services: EmbeddedServices) -> Iterator[Receiver]:
    with receiving(services, name="receiver-of-the-tests") as running:
        yield running


def post(receiver: Receiver, path: str, *ids: str, timeout: float = 10) -> list[int]:
    """Send one request for each id on one connection; return the statuses."""
    client = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=timeout)
    statuses = []
    try:
        for webhook_id in ids:
            client.request("POST", path, b'{"a": 1}', {"Webhook-Id": webhook_id})
            response = client.getresponse()
            response.read()
            statuses.append(response.status)
    finally:
        client.close()
    return statuses


def test_requests_are_kept_with_their_ids_and_times_in_order(receiver: Receiver) -> None:
    assert post(receiver, "/ok", "a", "b") == [200, 200]
    assert post(receiver, "/slow/0.01", "c") == [200]

    arrivals = receiver.arrivals()

    assert [arrival.webhook_id for arrival in arrivals] == ["a", "b", "c"]
    assert sorted(arrival.monotonic for arrival in arrivals) == [a.monotonic for a in arrivals]
    assert receiver.counts() == {"ok": 2, "slow": 1}
    receiver.wait_for(2, seconds=1)
    receiver.clear()
    assert receiver.arrivals() == []


def test_what_is_never_answered_is_counted_all_the_same(receiver: Receiver) -> None:
    with pytest.raises(TimeoutError):
        post(receiver, "/never", "a", timeout=0.1)

    assert receiver.counts() == {"never": 1}
    with pytest.raises(BenchError, match="0 of 1 webhooks"):
        receiver.wait_for(1, seconds=0)
