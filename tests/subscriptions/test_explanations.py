"""Why an event matched or not, and how a filter would have done."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from subscriptions.errors import InvalidSubscription, UnknownEvent
from subscriptions.explanations import Explanation, try_filter, why
from subscriptions.models import Event, Subscription
from tests.subscriptions.conftest import Sql

pytestmark = pytest.mark.django_db(transaction=True)


def unmet(explanation: Explanation) -> list[str]:
    return [reason.asks for reason in explanation.reasons if not reason.is_met]


def the_event() -> Any:
    return Event.objects.latest("seq").event_id


@pytest.mark.parametrize(
    ("changes", "missed"),
    [
        ({}, []),
        ({"company": "other"}, ["company"]),
        ({"company": None}, []),
        ({"operations": ["DELETE"]}, ["operation"]),
        ({"table": "invoices"}, ["table"]),
        (
            {"filter": {"status": "open", "id": {"numeric": [">", 5]}}},
            ["filter status", "filter id"],
        ),
        ({"filter": {"status": {"changed_to": "confirmed"}}}, []),
        ({"filter": {"$or": [{"status": "open"}]}}, ["filter"]),
        ({"filter": {"status": {"prefix": 1}}}, ["filter"]),  # as SQL may write it
    ],
)
def test_each_reason_of_a_match_or_a_miss_is_told(
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    changes: dict[str, Any],
    missed: list[str],
) -> None:
    subscription = Subscription.objects.get(pk=subscribe("acme"))
    sql("INSERT INTO orders VALUES (1, 'acme', 'confirmed')")
    for name, value in changes.items():
        setattr(subscription, name, value)

    explanation = why(subscription, the_event())

    assert unmet(explanation) == missed
    assert explanation.matches is (not missed)


def test_a_reason_shows_what_was_asked_and_what_was_found(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscription = Subscription.objects.get(pk=subscribe("acme"))
    subscription.filter = {"status": {"changed_to": "paid"}, "id": 2}
    sql("INSERT INTO orders VALUES (1, 'acme', 'new')")
    sql("UPDATE orders SET status = 'open'")

    *_, status, number = why(subscription, the_event()).reasons

    assert (status.wanted, status.found) == (
        {"changed_to": "paid"},
        {"before": "new", "after": "open"},
    )
    assert (number.wanted, number.found) == (2, 1)


def test_what_else_keeps_an_event_back_is_noted(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscription = Subscription.objects.get(pk=subscribe("acme"))
    sql("INSERT INTO orders VALUES (1, 'acme', 'new')")
    subscription.active = False
    subscription.paused_at = timezone.now()
    subscription.invalid_reason = "config.url: is private"
    subscription.created_at = timezone.now() + timedelta(days=1)

    explanation = why(subscription, the_event())

    assert explanation.matches
    assert [note.split()[0:3] for note in explanation.notes] == [
        ["the", "subscription", "is"],
        ["the", "subscription", "is"],
        ["paused", "since", subscription.paused_at.strftime("%Y-%m-%d")],
        ["the", "event", "is"],
    ]


def test_an_event_that_is_not_there_is_said_so() -> None:
    with pytest.raises(UnknownEvent, match="there is no event"):
        why(Subscription(company="acme", table="orders"), uuid4())


def wanted(**fields: Any) -> Subscription:
    given = {"name": "tried", "company": "acme", "table": "orders", "handler_type": "WEBHOOK"}
    return Subscription(**{**given, "config": {"url": "https://example.com/"}, **fields})


def test_a_filter_is_tried_on_past_events_before_it_is_saved(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe("acme")
    subscribe("other")
    sql("INSERT INTO orders SELECT n, 'acme', CASE WHEN n % 2 = 0 THEN 'open' END"
        " FROM generate_series(1, 50) AS n")  # fmt: skip
    sql("INSERT INTO orders VALUES (99, 'other', 'open')")

    trial = try_filter(wanted(filter={"status": "open"}))

    assert (trial.examined, trial.matched, len(trial.shown)) == (50, 25, 20)
    assert trial.shown[0].new["id"] == 50
    assert not Subscription.objects.filter(name="tried").exists()
    later = try_filter(wanted(), since=timezone.now() + timedelta(hours=1))
    assert (later.examined, later.matched) == (0, 0)


def test_a_filter_that_cannot_be_is_not_tried(orders: str) -> None:
    with pytest.raises(InvalidSubscription, match="filter: there is no colour"):
        try_filter(wanted(filter={"colour": "red"}))
