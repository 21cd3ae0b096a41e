"""Subscriptions: made by code and by SQL, refused with a reason, deleted by id and by name."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from pydantic import BaseModel

from subscriptions import contracts, event, publish
from subscriptions.errors import InvalidSubscription, UnknownEventType
from subscriptions.models import Delivery, Event, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from subscriptions.services import (
    create_subscription,
    delete_subscription,
    delete_subscription_by_name,
)
from tests.subscriptions.conftest import Messages, Sql, connect

pytestmark = pytest.mark.django_db(transaction=True)

URL = {"url": "https://93.184.216.34/hook"}


@pytest.fixture
def booking_created() -> Iterator[type[BaseModel]]:
    """A declared event type, as an app's `events.py` would hold it."""

    @event("visit.booked")
    class BookingCreated(BaseModel):
        booking: int
        room: str = "1"

    yield BookingCreated
    del contracts._types["visit.booked"], contracts._by_model[BookingCreated]


def make(**fields: Any) -> Subscription:
    given: dict[str, Any] = {
        "name": "orders",
        "company": "acme",
        "table": "orders",
        "handler_type": "WEBHOOK",
        "config": URL,
    }
    return create_subscription(**{**given, **fields})


def test_creating_twice_updates_by_name_and_keeps_id_and_secret(orders: str) -> None:
    first = make(filter={"status": "a"})

    second = make(filter={"status": "b"}, operations=["INSERT"])

    assert Subscription.objects.get() == first == second
    assert (second.filter, second.operations) == ({"status": "b"}, ["INSERT"])
    assert first.secret is not None
    assert first.secret == second.secret
    assert make(company="other").pk != first.pk
    assert make(company=None).pk == make(company=None).pk


def test_a_given_secret_is_kept_out_of_the_config(orders: str) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

    stored = make(config={**URL, "secret": secret})

    assert (stored.secret, stored.config) == (secret, URL)


def test_deleting_by_id_and_by_name(orders: str) -> None:
    first, second = make(), make(name="more")

    assert delete_subscription(first.pk)
    assert not delete_subscription(first.pk)
    assert not delete_subscription_by_name("more", company="other")
    assert delete_subscription_by_name("more", company="acme")
    assert not Subscription.objects.filter(pk=second.pk).exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"table": "nowhere"}, r"table: 'nowhere' is not watched; watched: orders"),
        ({"table": None}, r"table: give either table or event_type"),
        ({"table": None, "event_type": "a.b"}, r"event_type: event type 'a.b' is not declared"),
        ({"table": None, "event_type": "a.*"}, r"event_type: 'a.\*' fits no declared type"),
        ({"operations": ["insert"]}, r"operations: 'insert' is not one of INSERT, UPDATE, DELETE"),
        ({"operations": []}, r"operations: must be a list of one or more"),
        ({"handler_type": "FAX"}, r"handler_type: .*'FAX' does not exist; there are: .*WEBHOOK"),
        ({"config": {**URL, "colour": 1}}, r"config.colour: .*WEBHOOK takes: url, headers"),
        ({"config": {}}, r"config.url: Field required"),
        ({"config": {"url": "ftp://x.example/"}}, r"config.url: .*https://host/path"),
        ({"config": {"url": "http://127.0.0.1/"}}, r"config.url: 127.0.0.1: is not a public"),
        ({"config": {"url": "http://[::1]:80/"}}, r"config.url: ::1: is not a public"),
        ({"config": {"url": "http://localhost/"}}, r"config.url: localhost: leads to"),
        ({"config": {**URL, "headers": {"Host": "x"}}}, r"config.headers: .*set by the platform"),
        ({"config": {**URL, "headers": {"A": "b\r\nc: d"}}}, r"config.headers: .*one line"),
        ({"config": {**URL, "secret": "short"}}, r"config.secret: .*whsec_"),
        ({"filter": {"colour": "red"}}, r"filter: there is no colour; there are: company, id"),
        ({"attempts": 0}, r"attempts: must be 1 to 100"),
        ({"backoff": {"base": -1}}, r"backoff: base: .*takes \"standard\" or an object"),
        ({"ordering": "time"}, r"ordering: must be one of none, record"),
        ({"name": ""}, r"name: must not be empty"),
        (
            {"handler_type": "WORKFLOW", "config": {"workflow": "x/y"}},
            r"config.workflow: 'x/y' does",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_with_the_field_and_what_is_allowed(
    fields: dict[str, Any], message: str, orders: str
) -> None:
    with pytest.raises(InvalidSubscription, match=message):
        make(**fields)

    assert not Subscription.objects.exists()


def test_a_wrong_header_value_is_not_repeated_in_the_error(orders: str) -> None:
    with pytest.raises(InvalidSubscription) as caught:
        make(config={**URL, "headers": {"Authorization": "Bearer s3cret\n"}})

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"operations": "{insert}"}, "operations: 'insert' not allowed; allowed, in capitals"),
        ({"operations": "{}"}, "operations: an empty list is not allowed"),
        ({"table": "nowhere"}, "table: 'nowhere' is not watched; watched: orders"),
        ({"filter": "[]"}, "filter, config: each must be a JSON object"),
        ({"operations": "{{INSERT},{UPDATE}}"}, "operations: must be a list, not a list of lists"),
        ({"company": ""}, "company: must not be empty"),
        ({"filter": '{"a": ' + "[" * 3000 + "]" * 3000 + "}"}, "filter: has more than 500"),
        ({"filter": '{"a": 1e5000}'}, "filter: has a number of more than 254 digits"),
        ({"config": '{"url": 1e5000}'}, "config: has a number of more than 254 digits"),
        ({"config": '{"url": "' + "x" * 65536 + '"}'}, "config: has .* bytes; at most 65536"),
    ],
)
def test_the_database_refuses_what_sql_can_check(
    columns: dict[str, str], message: str, orders: str, subscribe: Callable[..., int]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match=message):
        subscribe(**columns)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("paused_at", "infinity"),
        ("paused_at", "0044-03-15 BC"),
        ("created_at", "-infinity"),
        ("created_at", "10000-01-01"),
        ("backoff", '{"base": 1e5000}'),
        ("debounce", "100000000 years"),
    ],
)
def test_the_database_refuses_what_python_cannot_read(
    column: str, value: str, orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()

    with pytest.raises(psycopg.errors.CheckViolation):
        sql(f"UPDATE event_system_subscription SET {column} = %s", value)  # noqa: S608 - ours


def test_a_secret_in_the_clear_is_refused_by_the_database(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()

    with pytest.raises(psycopg.errors.CheckViolation):
        sql("UPDATE event_system_subscription SET secret = 'whsec_abc'")


def interest(sql: Sql) -> set[tuple[str, str]]:
    return {
        (operation, company)
        for operation, company in sql(
            "SELECT operation, company FROM event_system_interest WHERE \"table\" <> ''"
        )
    }


def test_interest_follows_subscriptions(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe("a", operations="{INSERT,INSERT}")
    subscribe("a", name="more", operations="{INSERT,DELETE}")
    subscribe(None, operations="{UPDATE}")
    assert interest(sql) == {("INSERT", "a"), ("DELETE", "a"), ("UPDATE", "*")}

    sql("DELETE FROM event_system_subscription WHERE name = 'more'")
    assert interest(sql) == {("INSERT", "a"), ("UPDATE", "*")}

    sql("UPDATE event_system_subscription SET company = 'b' WHERE company = 'a'")
    assert interest(sql) == {("INSERT", "b"), ("UPDATE", "*")}

    sql("UPDATE event_system_subscription SET active = false")
    assert interest(sql) == set()

    sql("UPDATE event_system_subscription SET active = true")
    sql("TRUNCATE event_system_subscription")
    assert interest(sql) == set()


def test_the_check_of_every_write_uses_the_index_also_when_nobody_subscribes(
    orders: str, sql: Sql
) -> None:
    sql("VACUUM ANALYZE event_system_interest")

    plan = sql(
        "EXPLAIN SELECT FROM event_system_interest AS i WHERE i.\"table\" = 'orders'"
        " AND i.operation = 'UPDATE' AND i.company = ANY (ARRAY['a', '*'])"
    )

    assert any("Index" in line for (line,) in plan), plan


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ"])
def test_interest_is_right_when_one_comes_while_another_goes(
    isolation: str, orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    first = subscribe("a")
    with connect() as leaving:
        leaving.execute(f"BEGIN ISOLATION LEVEL {isolation}")
        leaving.execute("SELECT count(*) FROM event_system_subscription")  # its snapshot is taken
        subscribe("a", name="second")
        try:
            leaving.execute("DELETE FROM event_system_subscription WHERE id = %s", [first])
            leaving.execute("COMMIT")
        except psycopg.errors.SerializationFailure:
            assert isolation == "REPEATABLE READ"  # told to try again: nothing was lost
            leaving.execute("ROLLBACK")

    assert interest(sql) == {("INSERT", "a"), ("UPDATE", "a"), ("DELETE", "a")}


def test_a_published_event_reaches_its_types_subscribers(
    booking_created: type[BaseModel], messages: Messages
) -> None:
    exact = make(table=None, event_type="visit.booked", filter={"booking": 7})
    globbed = make(name="all", table=None, event_type="visit.*")
    make(name="else", table=None, event_type="visit.*", company="other")

    published = publish(booking_created(booking=7), company="acme", key="booking-7")
    relay_all(Router())

    stored = Event.objects.get()
    assert (stored.event_id, stored.type, stored.version) == (published, "visit.booked", 1)
    assert (stored.payload, stored.key) == ({"booking": 7, "room": "1"}, "booking-7")
    assert {d.subscription_id for d in Delivery.objects.all()} == {exact.pk, globbed.pk}


def test_publishing_is_part_of_the_transaction(booking_created: type[BaseModel]) -> None:
    from django.db import transaction

    with transaction.atomic():
        publish("visit.booked", {"booking": 1}, company="acme")
        transaction.set_rollback(True)

    assert not Event.objects.exists()


def test_publishing_an_undeclared_type_is_refused() -> None:
    with pytest.raises(UnknownEventType, match=r"'visit\.booked' is not declared"):
        publish("visit.booked", {}, company="acme")


def test_one_name_and_version_is_one_model(booking_created: type[BaseModel]) -> None:
    with pytest.raises(ValueError, match=r"is .*BookingCreated already"):

        @event("visit.booked")
        class Other(BaseModel):
            pass
