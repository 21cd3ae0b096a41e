"""A worker process's deliveries in the background: fair to all receivers, and nothing lost."""

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from django.db import OperationalError
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from subscriptions.deliveries import lanes, recording, sweeping
from subscriptions.deliveries.courier import Courier
from subscriptions.deliveries.lanes import Job, Lanes
from subscriptions.deliveries.recording import Done
from subscriptions.models import Delivery, Gate, Subscription
from tests.subscriptions.conftest import Messages, Sql
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("local_receivers"),
]


@pytest.fixture
def courier() -> Iterator[Courier]:
    made = Courier()
    yield made
    made.close()


@pytest.fixture
def httpserver() -> Iterator[HTTPServer]:
    """A receiver that answers several requests at once."""
    server = HTTPServer(threaded=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def silent(httpserver: HTTPServer) -> Iterator[threading.Event]:
    """A receiver at /silent that answers when the event is set."""
    answer = threading.Event()

    def wait(request: Request) -> Response:
        answer.wait(30)
        return Response("")

    httpserver.expect_request("/silent").respond_with_handler(wait)
    httpserver.expect_request("/hook").respond_with_data("")
    yield answer
    answer.set()


def subscribed(subscribe: Callable[..., int], server: HTTPServer, path: str) -> int:
    return subscribe(name=path, config=json.dumps({"url": server.url_for(path)}))


def counts(pk: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for status in Delivery.objects.filter(subscription_id=pk).values_list("status", flat=True):
        found[status] = found.get(status, 0) + 1
    return found


def test_a_receiver_that_never_answers_holds_up_nobody(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    courier: Courier,
    silent: threading.Event,
    httpserver: HTTPServer,
) -> None:
    stuck = subscribed(subscribe, httpserver, "/silent")
    well = subscribed(subscribe, httpserver, "/hook")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 60) AS n")

    courier.dispatch(relay())  # returns while the silent one is still being waited for

    wait_until(lambda: counts(well) == {"delivered": 60}, what="the others are told")
    assert "delivered" not in counts(stuck)
    silent.set()
    wait_until(lambda: counts(stuck) == {"delivered": 60}, what="the silent one is told")


def test_a_slow_receivers_backlog_is_queued_and_called_when_it_answers(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    courier: Courier,
    silent: threading.Event,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "SLOW", 0.05)
    monkeypatch.setattr(lanes, "PATIENCE", 0.1)
    stuck = subscribed(subscribe, httpserver, "/silent")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 40) AS n")

    courier.dispatch(relay())

    # 16 at once; the rest goes back, and has not been tried.
    wait_until(
        lambda: counts(stuck) == {"running": 16, "queued": 24}, what="the rest is given back"
    )
    queued = Delivery.objects.filter(status="queued")
    assert set(queued.values_list("attempts", flat=True)) == {0}
    silent.set()
    wait_until(lambda: counts(stuck) == {"delivered": 40}, what="all are told")
    assert set(Delivery.objects.values_list("attempts", flat=True)) == {1}


def test_what_failed_opens_the_breaker_and_stops_the_backlog(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    courier: Courier,
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/broken").respond_with_data("", 500)
    broken = subscribed(subscribe, httpserver, "/broken")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 60) AS n")
    ids = relay()

    courier.dispatch(ids[:20])
    wait_until(
        lambda: Gate.objects.filter(open_until__isnull=False).exists(), what="the breaker opens"
    )
    tried = len(httpserver.log)
    courier.dispatch(ids[20:])

    wait_until(lambda: counts(broken).get("queued") == 40, what="the backlog waits")
    assert len(httpserver.log) == tried


def test_order_by_record_holds_in_the_background(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    courier: Courier,
    httpserver: HTTPServer,
) -> None:
    told: dict[str, list[str]] = {}

    def note(request: Request) -> Response:
        body = json.loads(request.get_data())
        told.setdefault(body["recordId"], []).append(body["new"]["status"])
        return Response("")

    httpserver.expect_request("/hook").respond_with_handler(note)
    pk = subscribed(subscribe, httpserver, "/hook")
    Subscription.objects.update(ordering="record")
    sql("INSERT INTO orders SELECT n, 'acme', '0' FROM generate_series(1, 5) AS n")
    for step in range(1, 8):
        sql("UPDATE orders SET status = %s", str(step))
    ids = relay()

    for start in range(0, len(ids), 7):
        courier.dispatch(list(reversed(ids[start : start + 7])))

    wait_until(lambda: counts(pk) == {"delivered": 40}, what="all are told")
    assert told == {str(n): [str(step) for step in range(8)] for n in range(1, 6)}


def test_two_workers_keep_the_order_of_records_while_tries_fail(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    messages: Messages,
    courier: Courier,
    httpserver: HTTPServer,
) -> None:
    told: dict[str, list[str]] = {}
    seed = random.Random(7)  # noqa: S311 - no secret
    lock = threading.Lock()

    def note(request: Request) -> Response:
        body = json.loads(request.get_data())
        with lock:
            if seed.random() < 0.2:
                return Response("", 500)
            told.setdefault(body["recordId"], []).append(body["new"]["status"])
        return Response("")

    httpserver.expect_request("/hook").respond_with_handler(note)
    pk = subscribed(subscribe, httpserver, "/hook")
    quick = {"base": 0.001, "longest": 0.01}
    Subscription.objects.update(ordering="record", attempts=100, backoff=quick)
    sql("INSERT INTO orders SELECT n, 'acme', '0' FROM generate_series(1, 20) AS n")
    for step in range(1, 10):
        sql("UPDATE orders SET status = %s", str(step))
    ids = relay()
    other = Courier()

    try:
        for start in range(0, len(ids), 20):  # every message comes to both
            for one in (courier, other):
                one.dispatch(seed.sample(ids[start : start + 20], 20))

        def swept() -> bool:
            before = len(messages.sent)
            sweeping.sweep()
            sweeping.tend()
            for number, (_, more) in enumerate(messages.sent[before:]):
                (courier, other)[number % 2].dispatch(more)
            return counts(pk) == {"delivered": 200}

        wait_until(swept, what="all are told")
    finally:
        other.close()
    assert told == {str(n): [str(step) for step in range(10)] for n in range(1, 21)}


def test_closing_waits_for_what_runs_and_records_it(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    pk = subscribed(subscribe, httpserver, "/hook")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 10) AS n")
    courier = Courier()
    courier.dispatch(relay())

    courier.close()

    assert counts(pk) == {"delivered": 10}


def test_closing_leaves_to_others_what_has_not_begun(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    messages: Messages,
    silent: threading.Event,
    httpserver: HTTPServer,
) -> None:
    pk = subscribed(subscribe, httpserver, "/silent")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 40) AS n")
    courier = Courier()
    courier.dispatch(relay())  # 16 begin

    closing = threading.Thread(target=courier.close)
    closing.start()
    wait_until(lambda: counts(pk).get("pending") == 24, what="the rest is given back")
    silent.set()
    closing.join()

    assert counts(pk) == {"delivered": 16, "pending": 24}
    left = Delivery.objects.filter(status="pending")
    assert set(left.values_list("attempts", flat=True)) == {0}
    before = len(messages.ids)
    assert sweeping.sweep() == 24  # at once
    assert len(messages.ids) == before + 24


def test_closing_begins_nothing_new(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    silent: threading.Event,
    httpserver: HTTPServer,
) -> None:
    pk = subscribed(subscribe, httpserver, "/silent")
    Subscription.objects.update(ordering="record")
    sql("INSERT INTO orders VALUES (1, 'acme', '0')")
    sql("UPDATE orders SET status = '1'")
    sql("INSERT INTO orders VALUES (2, 'acme', '0')")
    courier = Courier()
    first, second, other = relay()
    courier.dispatch([first, second])

    closing = threading.Thread(target=courier.close)
    closing.start()
    wait_until(lambda: courier._closing.is_set(), what="the courier closes")
    courier.dispatch([other])
    silent.set()
    closing.join()

    assert counts(pk) == {"delivered": 1, "pending": 2}
    assert sweeping.sweep() == 2


def test_closing_leaves_to_others_what_it_had_queued(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    silent: threading.Event,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG", 20)
    pk = subscribed(subscribe, httpserver, "/silent")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 40) AS n")
    courier = Courier()
    courier.dispatch(relay())  # 16 begin, at most 20 wait, the rest has no room

    closing = threading.Thread(target=courier.close)
    closing.start()
    wait_until(lambda: counts(pk).get("pending"), what="what waits is given back")
    silent.set()
    closing.join()

    assert counts(pk)["delivered"] == 16
    assert counts(pk)["queued"] >= 4
    assert sweeping.sweep() == 24


def test_what_exceeds_the_room_of_a_quick_receiver_is_called_at_once(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    courier: Courier,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "BACKLOG", 20)
    httpserver.expect_request("/hook").respond_with_data("")
    pk = subscribed(subscribe, httpserver, "/hook")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 60) AS n")

    courier.dispatch(relay())

    wait_until(lambda: counts(pk) == {"delivered": 60}, what="all are told", seconds=20)


def test_outcomes_wait_for_a_database_that_is_away(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    courier: Courier,
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    pk = subscribed(subscribe, httpserver, "/hook")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 10) AS n")
    away = iter([True, True])

    def record(done: Sequence[Done]) -> list[int]:
        if next(away, False):
            raise OperationalError("the database is away")
        return recording.record(done)

    monkeypatch.setattr("subscriptions.deliveries.courier.record", record)
    courier.dispatch(relay())

    wait_until(lambda: counts(pk) == {"delivered": 10}, what="all are recorded")
    assert len(httpserver.log) == 10


# Lanes --------------------------------------------------------------------------------------------


def test_lanes_take_turns_and_keep_to_their_limits() -> None:
    made = Lanes()
    order: list[int] = []
    most: dict[int, int] = {1: 0, 2: 0}
    running: dict[int, int] = {1: 0, 2: 0}
    lock, gate = threading.Lock(), threading.Event()

    def job(lane: int) -> Job:
        def run() -> None:
            with lock:
                order.append(lane)
                running[lane] += 1
                most[lane] = max(most[lane], running[lane])
            gate.wait(10)
            with lock:
                running[lane] -= 1

        return Job(lane=lane, limit=2, run=run, give_back=lambda: None)

    for lane in (1, 1, 1, 1, 2, 2):
        made.submit(job(lane))
    wait_until(lambda: len(order) == 4, what="four tries run")
    gate.set()

    assert made.wait_until_idle(timeout=10)
    assert sorted(order[:4]) == [1, 1, 2, 2]
    assert most == {1: 2, 2: 2}


def test_tries_that_are_not_young_any_more_give_their_places_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lanes, "ACTIVE", 2)
    monkeypatch.setattr(lanes, "YOUNG", 0.02)
    made, gate, ran = Lanes(), threading.Event(), threading.Event()

    def hold() -> None:
        gate.wait(10)

    for _ in range(2):
        made.submit(Job(lane=1, limit=5, run=hold, give_back=lambda: None))
    made.submit(Job(lane=2, limit=5, run=ran.set, give_back=lambda: None))

    def ticked() -> bool:
        made.tick()
        return ran.is_set()

    wait_until(ticked, what="the other lane runs")
    gate.set()
    assert made.wait_until_idle(timeout=10)
