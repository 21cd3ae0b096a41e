"""Deliveries: claims, outcomes, retries, and what becomes of those nobody finished."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook
from werkzeug import Request, Response

from subscriptions import safe_http
from subscriptions.backoff import parse
from subscriptions.deliveries import delivery, sweeping
from subscriptions.deliveries.admission import Definition
from subscriptions.deliveries.claiming import take
from subscriptions.deliveries.recording import Done, record
from subscriptions.handlers import contract, webhook
from subscriptions.handlers.contract import Handler, Item, Outcome, handler
from subscriptions.models import Delivery, DeliveryAttempt, Subscription
from subscriptions.safe_http import Answer
from tests.subscriptions.conftest import Messages, Sql

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("local_receivers"),
]


@pytest.fixture
def hook(subscribe: Callable[..., int], orders: str, httpserver: HTTPServer) -> int:
    """A subscription of acme to `orders` that posts to the test's own receiver."""
    return subscribe(config=f'{{"url": "{httpserver.url_for("/hook")}"}}')


def anywhere(definition: Definition) -> int:
    """As many at once as there are."""
    return 1000


def only() -> Delivery:
    return Delivery.objects.get()


def make_due() -> None:
    Delivery.objects.update(due_at="2020-01-01T00:00:00Z")


def test_a_webhook_is_signed_and_recorded(
    hook: int, sql: Sql, relay: Callable[[], list[int]], httpserver: HTTPServer
) -> None:
    received: list[Request] = []

    def answer(request: Request) -> Response:
        received.append(request)
        return Response("thank you", 202)

    httpserver.expect_request("/hook", method="POST").respond_with_handler(answer)
    sql("INSERT INTO orders VALUES (1, 'acme', 'confirmed')")

    assert delivery.deliver(relay()) == 1

    [request] = received
    secret = Subscription.objects.get(pk=hook).secret
    body = Webhook(secret).verify(request.get_data(), dict(request.headers))
    assert body.pop("timestamp").endswith("Z")
    assert body == {
        "table": "orders",
        "operation": "INSERT",
        "recordId": "1",
        "new": {"id": 1, "company": "acme", "status": "confirmed"},
        "old": None,
    }
    assert request.headers["content-type"] == "application/json"
    assert only().status == Delivery.Status.DELIVERED
    attempt = DeliveryAttempt.objects.get()
    assert (attempt.number, attempt.status, attempt.status_code, attempt.response) == (
        1,
        "delivered",
        202,
        "thank you",
    )
    assert attempt.duration > timedelta()


def test_the_secret_is_encrypted_at_rest(
    hook: int, sql: Sql, relay: Callable[[], list[int]]
) -> None:
    relay()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay()

    [(stored,)] = sql("SELECT secret FROM event_system_subscription")

    secret = Subscription.objects.get(pk=hook).secret
    assert str(secret).startswith("whsec_")
    assert secret not in stored


def test_a_secret_written_by_sql_moves_into_the_encrypted_column(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    httpserver: HTTPServer,
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    pk = subscribe(config=f'{{"url": "{httpserver.url_for("/hook")}", "secret": "{secret}"}}')
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    relay()

    stored = Subscription.objects.get(pk=pk)
    assert stored.secret == secret
    assert "secret" not in stored.config
    assert secret not in str(sql("SELECT s FROM event_system_subscription s"))


def test_a_failure_is_tried_again_with_the_same_id_until_attempts_are_used_up(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    httpserver: HTTPServer,
    messages: Messages,
) -> None:
    received: list[dict[str, str]] = []

    def refuse(request: Request) -> Response:
        received.append(dict(request.headers))
        return Response("not now", 503)

    httpserver.expect_request("/hook").respond_with_handler(refuse)
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    ids = relay()

    for number in (1, 2, 3):
        delivery.deliver(ids)
        assert only().attempts == number
        assert delivery.deliver(ids) == 0  # an early or doubled message does nothing
        make_due()
        sweeping.sweep()

    found = only()
    assert (found.status, found.error) == (Delivery.Status.DEAD, "HTTP 503")
    assert len(received) == 3
    assert len({headers["Webhook-Id"] for headers in received}) == 1
    assert list(DeliveryAttempt.objects.order_by("id").values_list("number", "status_code")) == [
        (1, 503),
        (2, 503),
        (3, 503),
    ]
    assert len(messages.ids) == 3  # the relay's, and two retries; none for the dead


def test_a_retry_waits_in_the_database_until_its_time(
    hook: int, sql: Sql, relay: Callable[[], list[int]], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data(
        "slow down", status=429, headers={"Retry-After": "3600"}
    )
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    delivery.deliver(relay())

    found = only()
    assert found.status == Delivery.Status.RETRYING
    assert found.due_at is not None
    assert found.due_at - found.created_at >= timedelta(minutes=59)
    assert sweeping.sweep() == 0

    assert sweeping.sweep(now=found.due_at) == 1
    assert only().status == Delivery.Status.PENDING


def test_410_ends_the_subscription(
    hook: int, sql: Sql, relay: Callable[[], list[int]], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("gone", status=410)
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    delivery.deliver(relay())

    assert only().status == Delivery.Status.DEAD
    assert Subscription.objects.get().active is False


@pytest.mark.parametrize("status", [301, 302, 307, 400, 500])
def test_what_is_not_2xx_is_a_failure_and_no_redirect_is_followed(
    status: int, hook: int, sql: Sql, relay: Callable[[], list[int]], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data(
        "", status=status, headers={"Location": httpserver.url_for("/elsewhere")}
    )
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    delivery.deliver(relay())

    assert only().status == Delivery.Status.RETRYING
    assert [request.path for request, _ in httpserver.log] == ["/hook"]


def test_two_workers_with_the_same_message_deliver_once(
    hook: int, sql: Sql, relay: Callable[[], list[int]], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 10) n")
    ids = relay()
    counts: list[int] = []

    def work() -> None:
        from django.db import connection

        counts.append(delivery.deliver(ids))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == 10
    assert len(httpserver.log) == 10


def test_a_worker_that_died_is_replaced_and_its_late_outcome_changes_nothing(
    hook: int, sql: Sql, relay: Callable[[], list[int]], httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook").respond_with_data("ok")
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    ids = relay()
    taken = take(ids, room=anywhere)  # and then nothing more is heard of this worker
    make_due()
    assert sweeping.sweep() == 1

    assert delivery.deliver(ids) == 1
    [lost] = taken.claims
    late = Outcome(lost.id, False, error="late", permanent=True)
    now = datetime.now(tz=UTC)
    record([Done(lost, late, taken.definitions[lost.subscription_id], now, now)])

    found = only()
    assert (found.status, found.attempts, found.error) == (Delivery.Status.DELIVERED, 2, "")


def test_a_delivery_whose_workers_all_die_ends_dead(
    hook: int, sql: Sql, relay: Callable[[], list[int]]
) -> None:
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    ids = relay()
    for _ in range(3):
        assert len(take(ids, room=anywhere).claims) == 1
        make_due()
        sweeping.sweep()

    delivery.deliver(ids)

    assert only().status == Delivery.Status.DEAD


def test_a_delivery_of_a_deleted_subscription_is_canceled(
    hook: int, sql: Sql, relay: Callable[[], list[int]]
) -> None:
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    ids = relay()
    sql("DELETE FROM event_system_subscription")

    assert delivery.deliver(ids) == 0

    assert only().status == Delivery.Status.CANCELED


@pytest.fixture
def odd_handler() -> Iterator[None]:
    """A handler type in one file, as an author would add it: its config says how each item ends."""

    @handler("ODD")
    class OddHandler(Handler):
        def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
            for item in batch:
                status = item.event.new["status"]
                if status == "raise":
                    raise RuntimeError("broken")
                if status == "silent":
                    continue
                yield Outcome.delivered(item)

    yield
    del contract._handlers["ODD"]


def test_a_handler_that_raises_fails_only_what_it_had_not_finished(
    odd_handler: None,
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    messages: Messages,
) -> None:
    subscribe(handler_type="ODD", config="{}")
    sql(
        "INSERT INTO orders VALUES (1, 'acme', 'ok'), (2, 'acme', 'silent'), (3, 'acme', 'raise'),"
        " (4, 'acme', 'ok')"
    )

    delivery.deliver(relay())

    assert [queue for queue, _ in messages.sent] == ["default"]
    assert [
        (found.event.record_id, found.status, found.error)
        for found in Delivery.objects.select_related("event").order_by("event_id")
    ] == [
        ("1", "delivered", ""),
        ("2", "retrying", "RuntimeError: broken"),
        ("3", "retrying", "RuntimeError: broken"),
        ("4", "retrying", "RuntimeError: broken"),
    ]


def test_backoff_doubles_with_jitter_and_has_a_ceiling() -> None:
    delays = [parse({}).delay(n, rand=lambda: 0.5).total_seconds() for n in (1, 2, 3, 100)]

    assert delays == [1, 2, 4, 3600]
    assert parse({"base": 4}).delay(1, rand=lambda: 0.0) == timedelta(seconds=2)
    assert parse("standard").delay(9) == timedelta(hours=10)
    with pytest.raises(ValueError, match="bases"):
        parse({"bases": 1})


def test_a_header_beyond_ascii_is_sent_as_latin_1(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/hook", headers={"X-A": "é"}).respond_with_data("ok")
    subscribe(config=f'{{"url": "{httpserver.url_for("/hook")}", "headers": {{"X-A": "é"}}}}')
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    assert delivery.deliver(relay()) == 1


@pytest.mark.parametrize("others", [0, 3])
def test_a_webhook_that_raises_fails_alone(
    others: int,
    hook: int,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
    httpserver: HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def send(method: str, url: str, **options: Any) -> Answer:
        if url.endswith("/odd"):
            raise TypeError("s3cret")
        return safe_http.send(method, url, **options)

    monkeypatch.setattr(webhook, "send", send)
    httpserver.expect_request("/hook").respond_with_data("ok")
    subscribe("odd", config=f'{{"url": "{httpserver.url_for("/odd")}"}}')
    sql("INSERT INTO orders VALUES (0, 'odd', 'x')")
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, %s) n", others)

    assert delivery.deliver(relay()) == others

    found = Delivery.objects.get(company="odd")
    assert found.status == Delivery.Status.RETRYING
    assert found.error == "the request could not be made: TypeError"


def test_a_headers_value_loses_its_ends_and_never_comes_into_an_error(
    httpserver: HTTPServer, settings: Settings
) -> None:
    receiver_url = httpserver.url_for("/")
    config = webhook.WebhookHandler.Config(
        url="https://example.com", headers={"Authorization": " Bearer hunter2 "}
    )
    assert config.headers == {"Authorization": "Bearer hunter2"}

    allowed = settings.WEBHOOK_ALLOWED_NETWORKS
    with pytest.raises(safe_http.ExchangeFailed) as refused:
        safe_http.send(
            "POST", receiver_url, headers={"a": "hunter2 "}, content=b"", allowed=allowed
        )
    assert "hunter2" not in str(refused.value)
