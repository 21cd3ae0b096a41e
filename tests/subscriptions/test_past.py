"""Looks at past events end in time, say how far they came, and stumble over no event."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from subscriptions import past
from subscriptions.deliveries.replaying import replay
from subscriptions.examples import preview
from subscriptions.explanations import envelope, try_filter, why
from subscriptions.models import Delivery, Event, Subscription
from subscriptions.past import Limits
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql, connect
from tests.subscriptions.test_api import Caller

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)
NUMBER = '{"n": 1e999999999999999999999}'
DEEP = "[" * 3000 + "]" * 3000


def wanted(**fields: Any) -> Subscription:
    given = {"name": "tried", "company": "acme", "table": "orders", "handler_type": "WEBHOOK"}
    return Subscription(**{**given, "config": {"url": "https://example.com/"}, **fields})


def an_hour_ago() -> datetime:
    return datetime.now(tz=UTC) - HOUR


@pytest.fixture
def always(orders: str, sql: Sql) -> str:
    """The watched table, each event of which is kept."""
    sql("SELECT attach_event_trigger('orders', company => 'company', capture => 'always')")
    return orders


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(past, "PAGE", 10)
    monkeypatch.setattr(past, "MOST_AT_ONCE", 3)


@pytest.fixture
def locked_outbox(transactional_db: None) -> Iterator[None]:
    """Somebody keeps everybody from reading the outbox."""
    with connect() as other, other.transaction():
        other.execute("LOCK TABLE event_system_event IN ACCESS EXCLUSIVE MODE")
        yield


def test_a_look_goes_through_all_pages_and_says_how_far_it_came(
    always: str, sql: Sql, small_pages: None
) -> None:
    sql("INSERT INTO orders SELECT n, CASE WHEN n % 2 = 0 THEN 'acme' ELSE 'other' END, 'x'"
        " FROM generate_series(1, 55) AS n")  # fmt: skip

    trial = try_filter(wanted())

    assert (trial.examined, trial.matched, trial.looked_at) == (27, 27, 55)
    assert (trial.is_whole, trial.back_to) == (True, Event.objects.earliest("seq").recorded_at)
    assert [event.new["id"] for event in trial.shown[:2]] == [54, 52]


def test_a_look_for_one_match_ends_with_it(always: str, sql: Sql, small_pages: None) -> None:
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 55) AS n")

    trial = try_filter(wanted(), enough=1)

    assert (trial.matched, trial.looked_at, trial.is_whole) == (1, 3, False)


def test_a_look_ends_when_its_bytes_are_read(always: str, sql: Sql, small_pages: None) -> None:
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 55) AS n")

    trial = try_filter(wanted(), limits=Limits(seconds=60, most_bytes=1))

    assert (trial.looked_at, trial.is_whole) == (3, False)


def test_a_look_waits_no_longer_than_it_may(always: str, sql: Sql, locked_outbox: None) -> None:
    trial = try_filter(wanted(), limits=Limits(seconds=0.2))

    assert (trial.looked_at, trial.is_whole) == (0, False)


def test_a_replay_that_runs_out_of_time_says_so(
    always: str, subscribe: Callable[..., int], sql: Sql
) -> None:
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    pk = subscribe()

    found = replay(pk, since=an_hour_ago(), missed=True, limits=Limits(seconds=0))

    assert (found.missed, found.looked_at, found.is_whole) == (0, 0, False)


def test_missed_events_are_made_page_by_page_and_from_the_time_asked_for(
    always: str, subscribe: Callable[..., int], sql: Sql, messages: Messages, small_pages: None
) -> None:
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 55) AS n")
    sql("UPDATE event_system_event SET recorded_at = recorded_at - interval '1 hour'"
        " WHERE seq < (SELECT min(seq) + 30 FROM event_system_event)")  # fmt: skip
    relay_all(Router())
    pk = subscribe()
    half_an_hour_ago = datetime.now(tz=UTC) - HOUR / 2

    counted = replay(pk, since=half_an_hour_ago, missed=True, dry_run=True)
    made = replay(pk, since=half_an_hour_ago, missed=True)
    rest = replay(pk, since=an_hour_ago() - HOUR, until=half_an_hour_ago, missed=True)

    assert (counted.missed, made.missed, rest.missed) == (25, 25, 30)
    assert (made.is_whole, made.up_to) == (True, Event.objects.latest("seq").recorded_at)
    assert counted.looked_at < 55
    assert Delivery.objects.count() == 55


def test_a_truncate_counts_for_every_company_that_asks_for_it(
    always: str, subscribe: Callable[..., int], sql: Sql, messages: Messages
) -> None:
    sql("TRUNCATE orders")
    relay_all(Router())
    asked = {"operations": ["INSERT", "TRUNCATE"]}
    pk = subscribe(operations="{TRUNCATE}")

    assert (try_filter(wanted(**asked)).matched, try_filter(wanted()).examined) == (1, 0)
    assert replay(pk, since=an_hour_ago(), missed=True).missed == 1


@pytest.mark.parametrize("document", [NUMBER, DEEP])
def test_a_document_that_nobody_can_read_breaks_no_page(
    document: str,
    make_table: Callable[..., None],
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    client: Client,
) -> None:
    make_table("odd", "id int PRIMARY KEY, company text, doc json")
    sql("SELECT attach_event_trigger('odd', company => 'company')")
    config = {"to": ["a@example.com"], "template": "event"}
    pk = subscribe(
        table="odd", filter='{"doc": {"n": 1}}', handler_type="EMAIL", config=json.dumps(config)
    )
    sql("INSERT INTO odd VALUES (1, 'acme', %s), (2, 'acme', '{\"n\": 1}')", document)
    relay_all(Router())
    subscription = Subscription.objects.get(pk=pk)
    event = Event.objects.earliest("seq")
    dead = Delivery.objects.get(event=event)
    acme = Caller("acme")
    client.force_login(User.objects.create_superuser("operator"))
    why_page = reverse("admin:subscriptions_subscription_why", args=[pk])
    test_page = reverse("admin:subscriptions_subscription_test", args=[pk])
    body = {"table": "odd", "filter": {"doc": {"n": 1}}}

    config = {"workflow": "restock/create"}
    starting = Subscription(pk=pk, company="acme", handler_type="WORKFLOW", config=config)
    assert "cannot be shown" in preview(starting, envelope(event.event_id)).title
    trial = try_filter(subscription)
    tried = acme.post("/subscriptions/try", body).json()
    explained = acme.get(f"/subscriptions/{pk}/why/{event.event_id}").json()

    assert (trial.matched, trial.unreadable) == (1, 1)
    assert (tried["matched"], tried["unreadable"]) == (1, 1)
    assert [one["is_met"] for one in explained["reasons"]][-1] is False
    assert not why(subscription, event.event_id).matches
    assert acme.get(f"/deliveries/{dead.pk}").status_code == 200
    odd = {"filter": {"id": 5}, "missed": True, "since": "0001-01-01T00:00:00", "dry_run": True}
    again = acme.post(f"/subscriptions/{pk}/replay", odd).json()
    assert (again["again"], again["missed"], again["is_whole"]) == (0, 0, True)
    sql("DELETE FROM event_system_delivery")
    assert replay(pk, since=an_hour_ago(), missed=True).missed == 2
    sql("UPDATE event_system_subscription SET filter = '{\"id\": 1}'")
    assert client.get(test_page).status_code == 200
    made = Delivery.objects.earliest("id").pk
    page = reverse("admin:subscriptions_delivery_change", args=[made])
    assert client.get(page).status_code == 200
    assert client.get(why_page, {"event": str(event.event_id)}).status_code == 200
