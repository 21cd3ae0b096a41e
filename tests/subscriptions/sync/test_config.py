"""What a subscription of SYNC may say, and events that it cannot go by."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from subscriptions.errors import InvalidSubscription
from subscriptions.examples import of_delivery
from subscriptions.handlers.configs import config_schema
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Delivery, ExternalConnection, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from subscriptions.services import create_subscription
from subscriptions.validation import parse_config
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.fakes import FakeQuickBooks, FakeXero


def subscribe_to(table: str, **config: Any) -> None:
    create_subscription(
        name="sync", company="acme", table=table, handler_type="SYNC", config=config
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, r"config\.provider"),
        ({"provider": "sage"}, r"config\.provider.*'xero' or 'quickbooks'"),
        ({"provider": "xero", "entity": "invoice"}, "'customer' or 'supplier'"),
        ({"provider": "xero", "fields": {"a": "name", "b": "website"}}, "xero has no website"),
        ({"provider": "xero", "fields": {"a": "email"}}, "one column must be for 'name'"),
        ({"provider": "xero", "fields": {"a": "name", "b": "name"}}, "two columns are for the"),
        ({"provider": "xero", "token": "x"}, r"config\.token"),
    ],
)
def test_a_config_that_cannot_be_right_is_refused_with_what_is_allowed(
    config: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSubscription, match=said):
        parse_config(handler_named("SYNC"), config)


def test_a_provider_must_be_set_up_by_the_operator(xero: FakeXero, customers: str) -> None:
    with pytest.raises(InvalidSubscription, match="the operator must set QUICKBOOKS_CLIENT_ID"):
        subscribe_to(customers, provider="quickbooks")

    subscribe_to(customers, provider="xero", entity="supplier", fields={"name": "name"})


def test_every_field_of_the_config_says_what_it_is() -> None:
    properties = config_schema(handler_named("SYNC"))["properties"]

    assert set(properties) == {"provider", "entity", "fields"}
    assert all(field["title"] and field["description"] for field in properties.values())


def test_a_table_whose_name_says_no_entity_needs_one(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    make_table: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
) -> None:
    connected()
    make_table("party", "id int PRIMARY KEY, company text, name text")
    sql("SELECT attach_event_trigger('party', company => 'company')")
    with pytest.raises(InvalidSubscription, match=r"config\.entity: the name 'party' does not say"):
        subscribe_to("party", provider="xero")

    subscribe_to("party", provider="xero", entity="customer")
    sql("INSERT INTO party VALUES (1, 'acme', 'Bob')")
    assert run() == 1


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"fields": {"name": "name", "vat": "tax_number"}},
            r"config\.fields: there is no vat; there are: city, company, email, id, name, phone$",
        ),
        (
            {"provider": "quickbooks", "fields": {"name": "name", "city": "account_number"}},
            r"config\.fields: a customer has no account_number there; it takes: city, ",
        ),
    ],
)
def test_columns_that_the_table_does_not_have_are_refused(
    xero: FakeXero, quickbooks: FakeQuickBooks, customers: str, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidSubscription, match=said):
        subscribe_to(customers, **{"provider": "xero", **config})


def test_a_column_that_events_leave_out_is_refused_also_where_sql_names_it(
    xero: FakeXero,
    make_table: Callable[..., None],
    subscribe: Callable[..., int],
    sql: Sql,
) -> None:
    make_table("customer", "id int PRIMARY KEY, company text, secret text")
    sql("SELECT attach_event_trigger('customer', company => 'company', exclude => '{secret}')")
    with pytest.raises(InvalidSubscription, match="must say which column is the name: none of"):
        subscribe_to("customer", provider="xero")
    pk = subscribe(
        table="customer",
        handler_type="SYNC",
        config='{"provider": "xero", "fields": {"secret": "name"}}',
    )

    router = Router()
    router.refresh()
    router.note_verdicts()

    reason = Subscription.objects.get(pk=pk).invalid_reason
    assert reason == "config.fields: there is no secret; there are: company, id"


def test_the_preview_shows_what_would_be_pushed(
    xero: FakeXero, customers: str, add: Callable[..., None], sql: Sql
) -> None:
    subscribe_to(customers, provider="xero")
    relay_all(Router())
    add()
    sql("UPDATE customer SET name = ''")
    sql("DELETE FROM customer")
    relay_all(Router())

    shown = [of_delivery(delivery) for delivery in Delivery.objects.order_by("id")]

    assert shown[0].title == "Push customer c1 at Xero"
    assert json.loads(shown[0].body)["Name"] == "Ada Ltd"
    assert "Nothing is pushed to Xero: a record needs a name" in shown[1].title
    assert xero.calls == []
