"""Records of several tables and organisations; turns that were lost; things that are gone."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from werkzeug import Request, Response

from subscriptions import examples
from subscriptions.handlers.sync.errors import Busy
from subscriptions.handlers.sync.resending import send_again
from subscriptions.handlers.sync.turns import Target, note, turn
from subscriptions.models import (
    Delivery,
    ExternalConnection,
    ExternalMapping,
    Gate,
    Subscription,
)
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.conftest import mapping
from tests.subscriptions.sync.fakes import FakeQuickBooks, FakeXero

pytestmark = pytest.mark.django_db(transaction=True)

Connected = Callable[..., ExternalConnection]
TARGET = Target("acme", "xero", "customer", "customer", "c1")


def hold(**fields: Any) -> Any:
    return turn(TARGET, **{"tenant_id": "t", "subscription_id": 1, "delivery_id": 1, **fields})


@pytest.fixture
def synced(
    xero: FakeXero, connected: Connected, customers: str, subscribe: Callable[..., int]
) -> FakeXero:
    connected()
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    return xero


@pytest.fixture
def in_quickbooks(
    quickbooks: FakeQuickBooks, connected: Connected, customers: str, subscribe: Callable[..., int]
) -> FakeQuickBooks:
    connected(provider="quickbooks", tenant_id="1")
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "quickbooks"}')
    return quickbooks


def test_two_tables_with_the_same_keys_have_their_own_records(
    synced: FakeXero,
    make_table: Callable[..., None],
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
) -> None:
    make_table("client", "id text PRIMARY KEY, company text, name text")
    sql("SELECT attach_event_trigger('client', company => 'company')")
    config = '{"provider": "xero", "entity": "customer"}'
    subscribe(table="client", name="clients", handler_type="SYNC", config=config)
    add("c1", name="Ada")
    sql("INSERT INTO client VALUES ('c1', 'acme', 'Bob')")

    assert run() == 2

    assert sorted(contact["Name"] for contact in synced.contacts.values()) == ["Ada", "Bob"]
    assert mapping(table="client").external_id != mapping(table="customer").external_id


def test_a_renamed_table_keeps_its_records(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("ALTER TABLE customer RENAME TO customers")
    sql("UPDATE customers SET phone = '1'")

    assert run() == 1

    assert (ExternalMapping.objects.get().table, len(synced.contacts)) == ("customers", 1)
    sql("ALTER TABLE customers RENAME TO customer")


def test_an_id_of_the_organisation_before_is_free_in_the_next(
    in_quickbooks: FakeQuickBooks,
    connected: Connected,
    add: Callable[..., None],
    run: Callable[[], int],
) -> None:
    add("c1", name="Ada")
    run()
    in_quickbooks.rows.clear()
    connected(provider="quickbooks", tenant_id="2")
    add("c2", name="Bob")  # is 1 there, as c1 was before

    assert run() == 1

    assert (mapping("c1").external_id, mapping("c2").external_id) == ("1", "1")
    assert (mapping("c1").tenant_id, mapping("c2").tenant_id) == ("1", "2")


def test_a_mapping_without_a_table_is_taken_over_by_the_first_to_come() -> None:
    old = ExternalMapping.objects.create(
        company="acme", provider="xero", entity="customer", record_id="c1", tenant_id="t"
    )

    with hold() as held:
        assert (held.pk, held.table) == (old.pk, "customer")

    assert ExternalMapping.objects.get().table == "customer"


def test_who_has_lost_the_turn_writes_nothing_and_does_not_end_the_next_ones() -> None:
    with hold() as slow:
        ExternalMapping.objects.update(busy_until=Now() - timedelta(seconds=1))  # its time is over
        with hold(delivery_id=2) as quick:
            note(quick, external_id="new")
            with pytest.raises(Busy, match="another worker has taken this record over"):
                note(slow, external_id="old")

    found = ExternalMapping.objects.get()
    assert (found.external_id, found.delivery_id, found.last_error) == ("new", 2, "")


def test_the_end_of_a_lost_turn_leaves_the_next_one_running() -> None:
    slow = hold()
    slow.__enter__()
    ExternalMapping.objects.update(busy_until=Now() - timedelta(seconds=1))
    with hold(delivery_id=2) as quick:
        slow.__exit__(None, None, None)

        assert ExternalMapping.objects.get().busy_until == quick.busy_until
    assert ExternalMapping.objects.get().busy_until is None


def test_what_was_deleted_at_xero_is_made_anew(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    old = mapping().external_id
    synced.contacts.clear()
    sql("UPDATE customer SET phone = '1'")

    assert run() == 1

    [external_id] = synced.contacts
    assert mapping().external_id == external_id != old


def test_an_id_that_is_not_found_is_kept_until_there_is_a_new_one(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    old = mapping().external_id
    synced.faults = [lambda request: Response("", 404)] * 2  # a wrong XERO_API_URL, say
    sql("UPDATE customer SET phone = '1'")
    assert run() == 0
    assert (mapping().external_id, mapping().pending_key) == (old, None)

    sql("UPDATE customer SET phone = '2'")
    assert run() == 1
    assert list(synced.contacts) == [old]


def test_a_creation_in_place_of_what_is_gone_is_not_doubled_when_its_answer_is_lost(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    synced.contacts.clear()

    def lose_the_next(request: Request) -> None:
        synced.lost = 2

    synced.faults = [lose_the_next]  # answers nothing itself
    sql("UPDATE customer SET phone = '1'")
    run()
    synced.lost = 0
    sql("UPDATE customer SET phone = '2'")
    run()

    [external_id] = synced.contacts
    assert mapping().external_id == external_id


def test_what_was_made_inactive_in_quickbooks_is_active_again(
    in_quickbooks: FakeQuickBooks, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    [row] = in_quickbooks.rows.values()
    row["Active"] = False
    gone = in_quickbooks.fault("610", "Object Not Found", "made inactive")
    in_quickbooks.faults = [lambda request: gone]
    sql("UPDATE customer SET phone = '1'")

    assert run() == 1

    assert (len(in_quickbooks.rows), row["Active"]) == (1, True)
    assert row["PrimaryPhone"] == {"FreeFormNumber": "1"}


def test_a_company_that_is_not_connected_does_not_stop_the_platforms_subscription(
    xero: FakeXero,
    connected: Connected,
    customers: str,
    subscribe: Callable[..., int],
    run: Callable[[], int],
    sql: Sql,
) -> None:
    connected("acme")
    pk = subscribe(None, customers, handler_type="SYNC", config='{"provider": "xero"}')
    sql(
        "INSERT INTO customer (id, company, name) SELECT 'g' || n, 'globex', 'G' || n"
        " FROM generate_series(1, 12) AS n"
    )
    run()
    sql("INSERT INTO customer (id, company, name) VALUES ('a', 'acme', 'Ada')")

    assert run() == 1

    assert not Gate.objects.filter(subscription_id=pk, failures__gt=0).exists()
    assert set(
        Delivery.objects.filter(company="globex").values_list("status", "attempts")
    ) == {("dead", 1)}  # fmt: skip


def test_a_company_of_its_own_that_is_not_connected_is_tried_again(
    xero: FakeXero,
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
) -> None:
    pk = subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    add()

    assert run() == 0

    assert Delivery.objects.get().status == "retrying"
    assert Gate.objects.get(subscription_id=pk).failures == 1


@pytest.mark.parametrize("has_past", [True, False])
def test_an_example_looks_at_the_provider_and_writes_nothing(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], has_past: bool
) -> None:
    if has_past:
        add()
        run()
    before = list(ExternalMapping.objects.values())
    contacts = dict(synced.contacts)
    synced.requests.clear()

    sent = examples.send(Subscription.objects.get())

    assert sent.example.is_real is has_past
    found = "has this customer" if has_past else "has no customer of this name"
    assert found in sent.outcome.response
    assert {request.method for request in synced.requests} == {"GET"}
    assert (synced.contacts, list(ExternalMapping.objects.values())) == (contacts, before)


def test_a_record_that_is_being_sent_is_not_sent_again_beside_that(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int]
) -> None:
    add()
    run()
    found = mapping()
    ExternalMapping.objects.update(busy_until=Now() + timedelta(minutes=1))

    result = send_again([found.pk])

    assert (result.sent, len(result.problems)) == (0, 1)
    assert "some are being sent right now" in result.problems[0]
    assert Delivery.objects.get().status == "delivered"
    assert mapping().synced_hash == found.synced_hash != ""


def test_a_push_whose_turn_ran_out_does_not_undo_a_sending_again(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int]
) -> None:
    add()
    run()
    kept = mapping()
    whose = {"tenant_id": kept.tenant_id, "subscription_id": kept.subscription_id}
    with hold(**whose) as stale:
        ExternalMapping.objects.update(
            busy_until=Now() - timedelta(seconds=1), delivery_id=Delivery.objects.get().pk
        )
        stale.refresh_from_db(fields=["busy_until"])
        assert send_again([kept.pk]).sent == 1
        with pytest.raises(Busy):
            note(stale, synced_hash="what it was")

    assert mapping().synced_hash == ""
