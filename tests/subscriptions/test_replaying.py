"""Replays: what failed, what was missed, and only on request what succeeded."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from subscriptions.deliveries import delivery, sweeping
from subscriptions.deliveries.replaying import Replayed, replay
from subscriptions.errors import InvalidSubscription, UnknownSubscription
from subscriptions.models import Delivery, DeliveryAttempt, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("local_receivers"),
]

HOUR = timedelta(hours=1)


class Receiver:
    """Refuses records with these statuses; keeps the id and record of every request."""

    def __init__(self, server: HTTPServer) -> None:
        self.refused: set[str] = set()
        self.came: list[tuple[str, str]] = []
        self.url = server.url_for("/hook")
        server.expect_request("/hook").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        self.came.append((request.headers["webhook-id"], body["recordId"]))
        return Response("", 500 if body["new"]["status"] in self.refused else 200)


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    return Receiver(httpserver)


@pytest.fixture
def hook(subscribe: Callable[..., int], orders: str, receiver: Receiver) -> int:
    pk = subscribe(config=json.dumps({"url": receiver.url}))
    Subscription.objects.update(attempts=1, ordering="record")
    return pk


@pytest.fixture
def go(messages: Messages) -> Callable[[], None]:
    """Relay all there is, sweep, and deliver."""
    router = Router()

    def run() -> None:
        relay_all(router)
        sweeping.sweep()
        delivery.deliver(messages.ids)
        messages.sent.clear()

    return run


@pytest.fixture
def failed(hook: int, receiver: Receiver, sql: Sql, go: Callable[[], None]) -> int:
    """A subscription of which records 1 and 3 are dead, and 2 was delivered."""
    receiver.refused = {"bad"}
    for pk, status in ((1, "bad"), (2, "good"), (3, "bad")):
        sql("INSERT INTO orders VALUES (%s, 'acme', %s)", pk, status)
    go()
    assert sorted(statuses()) == ["dead", "dead", "delivered"]
    receiver.came.clear()
    receiver.refused = set()
    return hook


def statuses() -> list[str]:
    return list(Delivery.objects.order_by("event_id").values_list("status", flat=True))


def records(receiver: Receiver) -> list[str]:
    return sorted(record for _, record in receiver.came)


def test_what_failed_is_sent_again_and_what_succeeded_is_not(
    failed: int, receiver: Receiver, go: Callable[[], None]
) -> None:
    found = replay(failed, since=datetime.now(tz=UTC) - HOUR)
    go()

    assert (found.again, found.missed) == (2, 0)
    assert records(receiver) == ["1", "3"]
    assert statuses() == ["delivered"] * 3
    again = Delivery.objects.filter(generation=2)
    assert [one.attempts for one in again] == [1, 1]
    assert sorted(DeliveryAttempt.objects.values_list("generation", "status")) == [
        (1, "delivered"),
        (1, "failed"),
        (1, "failed"),
        (2, "delivered"),
        (2, "delivered"),
    ]


def test_a_replay_keeps_the_webhook_id(
    hook: int, sql: Sql, receiver: Receiver, go: Callable[[], None]
) -> None:
    sql("INSERT INTO orders VALUES (1, 'acme', 'good')")
    go()
    [pk] = Delivery.objects.values_list("pk", flat=True)

    assert replay(hook, delivery_ids=[pk]) == Replayed(again=0, lost=1)
    assert replay(hook, delivery_ids=[2**63]) == Replayed(again=0, lost=1)
    assert replay(hook, delivery_ids=[pk], again=True).again == 1
    go()

    first, second = receiver.came
    assert first == second


def test_a_dry_run_counts_and_sends_nothing(
    failed: int, receiver: Receiver, go: Callable[[], None]
) -> None:
    found = replay(failed, dry_run=True)
    go()

    assert (found.again, len(found.sample)) == (2, 2)
    assert receiver.came == []


def test_a_filter_and_a_time_choose_what_is_sent_again(
    failed: int, receiver: Receiver, go: Callable[[], None]
) -> None:
    assert replay(failed, until=datetime.now(tz=UTC) - HOUR, dry_run=True).again == 0
    assert replay(failed, filter={"id": 3}).again == 1
    go()

    assert records(receiver) == ["3"]


def test_a_replay_goes_in_the_order_of_the_events(
    hook: int, sql: Sql, receiver: Receiver, go: Callable[[], None]
) -> None:
    receiver.refused = {"bad", "worse"}
    sql("INSERT INTO orders VALUES (1, 'acme', 'bad')")
    for status in ("worse", "bad", "worse"):
        sql("UPDATE orders SET status = %s", status)
    go()
    receiver.refused = set()
    came = [one for one, _ in receiver.came]
    receiver.came.clear()

    replay(hook)
    go()

    assert [one for one, _ in receiver.came] == came


def test_missed_events_are_told_to_who_came_later(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    receiver: Receiver,
    go: Callable[[], None],
) -> None:
    sql("SELECT attach_event_trigger('orders', company => 'company', capture => 'always')")
    for pk, company in ((1, "acme"), (2, "globex"), (3, "acme")):
        sql("INSERT INTO orders VALUES (%s, %s, 'x')", pk, company)
    go()
    late = subscribe(config=json.dumps({"url": receiver.url}), filter='{"status": "x"}')
    since = datetime.now(tz=UTC) - HOUR

    assert replay(late, since=since, missed=True, dry_run=True).missed == 2
    assert replay(late, since=since, missed=True).missed == 2
    go()
    assert replay(late, since=since, missed=True).missed == 0

    assert records(receiver) == ["1", "3"]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"missed": True}, "since"), ({"filter": {"a": {"numeric": ["!", 1]}}}, "filter")],
)
def test_a_replay_that_cannot_be_is_refused(
    failed: int, arguments: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidSubscription) as refused:
        replay(failed, **arguments)

    assert refused.value.field == field


def test_a_replay_needs_a_subscription_that_is_on(failed: int) -> None:
    Subscription.objects.update(active=False)

    with pytest.raises(InvalidSubscription, match="switch it on"):
        replay(failed)
    with pytest.raises(UnknownSubscription):
        replay(failed + 1)
