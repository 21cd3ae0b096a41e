"""Records read from any watched table, and whose they are."""

from collections.abc import Callable
from typing import Any

import pytest

from subscriptions.handlers.sync.errors import Refused, SyncFailed
from subscriptions.handlers.sync.records import fetch
from subscriptions.models import Delivery, Event, ExternalConnection, ExternalMapping
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.conftest import mapping
from tests.subscriptions.sync.fakes import FakeXero

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("columns", "values", "record_id"),
    [
        ("id int PRIMARY KEY", "7", "7"),
        ("id uuid PRIMARY KEY", "'0198d0c2-0000-7000-8000-000000000001'", None),
        ('"Id %s" varchar(5) PRIMARY KEY', "'x''y'", "x'y"),
        ("a int, b boolean, PRIMARY KEY (b, a)", "1, true", {"a": 1, "b": True}),
    ],
)
def test_a_row_is_found_by_whatever_key_it_has(
    make_table: Callable[..., None], sql: Sql, columns: str, values: str, record_id: Any
) -> None:
    make_table('"Sales Order"', f'{columns}, "Company %s" text, name text')
    sql("SELECT attach_event_trigger('Sales Order', company => 'Company %s', capture => 'always')")
    sql(f"INSERT INTO \"Sales Order\" VALUES ({values}, 'acme', 'Ada')")  # noqa: S608 - above
    event = Event.objects.get()

    row = fetch(event.table or "", record_id or event.record_id, company="acme")

    assert row is not None
    assert (row["name"], row["Company %s"]) == ("Ada", "acme")
    assert fetch("Sales Order", record_id or event.record_id, company="globex") is None
    assert event.record_id == (record_id or event.record_id)


def test_a_company_gets_no_row_of_a_table_without_companies(
    make_table: Callable[..., None], sql: Sql
) -> None:
    make_table("plan", "id int PRIMARY KEY, name text")
    sql("SELECT attach_event_trigger('plan', company => '')")
    sql("INSERT INTO plan VALUES (1, 'Ada')")

    with pytest.raises(Refused, match="plan has no company column"):
        fetch("plan", "1", company="acme")
    assert fetch("plan", "1", company=None) == {"id": 1, "name": "Ada"}


def test_a_table_that_is_not_watched_any_more_is_tried_again(transactional_db: None) -> None:
    with pytest.raises(SyncFailed, match="attach_event_trigger"):
        fetch("nowhere", "1", company="acme")


def test_a_key_of_other_columns_than_the_tables_is_refused(customers: str) -> None:
    with pytest.raises(Refused, match=r"key \['a'\] is not the table's \['id'\]"):
        fetch(customers, {"a": 1}, company="acme")


def test_a_row_that_moved_to_another_company_is_pushed_for_its_new_one_only(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
) -> None:
    for company in ("acme", "globex"):
        connected(company, tenant_id=company)
        subscribe(company, customers, handler_type="SYNC", config='{"provider": "xero"}')
    add()
    run()
    sql("UPDATE customer SET company = 'globex', name = 'Secret of globex'")

    run()

    told = {
        (request.headers["xero-tenant-id"], b"Secret" in request.get_data())
        for request in xero.requests
    }
    assert told == {("acme", False), ("globex", True)}
    assert mapping(company="acme").status == "archived"
    assert mapping(company="globex").status == "synced"


def test_a_row_that_moved_away_before_its_delivery_is_not_read(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
) -> None:
    connected()
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    add()
    sql("SET session_replication_role = replica")  # no trigger tells of it
    sql("UPDATE customer SET company = 'globex', name = 'Secret of globex'")
    sql("SET session_replication_role = origin")

    assert run() == 1

    assert xero.requests == []


def test_a_subscription_of_the_platform_pushes_each_company_to_its_own_books(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
) -> None:
    connected("acme", tenant_id="a")
    subscribe(None, customers, handler_type="SYNC", config='{"provider": "xero"}')
    add("c1", "acme", "Ada")
    add("c2", "globex", "Bob")

    assert run() == 1

    assert [request.headers["xero-tenant-id"] for request in xero.requests] == ["a"]
    refused = Delivery.objects.get(company="globex")
    assert "globex is not connected to Xero" in refused.error
    assert not ExternalMapping.objects.filter(company="globex").exists()


def test_another_organisation_knows_none_of_the_old_ids(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
) -> None:
    connected(tenant_id="old")
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    add()
    run()
    xero.contacts.clear()
    connected(tenant_id="new")
    sql("UPDATE customer SET phone = '1'")

    assert run() == 1

    [external_id] = xero.contacts
    assert (mapping().external_id, mapping().tenant_id) == (external_id, "new")
