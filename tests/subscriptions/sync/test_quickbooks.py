"""QuickBooks: customers and vendors apart, versions, taken names, faults."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug import Request, Response

from subscriptions.models import Delivery, ExternalConnection, ExternalMapping
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.conftest import mapping
from tests.subscriptions.sync.fakes import FakeQuickBooks, answer

pytestmark = pytest.mark.django_db(transaction=True)

Connected = Callable[..., ExternalConnection]
Subscribe = Callable[..., int]
Status = ExternalMapping.Status


@pytest.fixture
def synced(
    quickbooks: FakeQuickBooks, connected: Connected, customers: str, subscribe: Subscribe
) -> FakeQuickBooks:
    """Customers of acme go to QuickBooks."""
    connected(provider="quickbooks")
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "quickbooks"}')
    return quickbooks


def only_row(fake: FakeQuickBooks) -> dict[str, Any]:
    [row] = fake.rows.values()
    return row


def test_an_insert_an_update_and_a_delete(
    synced: FakeQuickBooks, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add(name="Ada's Ltd")
    run()
    row = only_row(synced)
    assert (row["DisplayName"], row["PrimaryEmailAddr"]) == (
        "Ada's Ltd",
        {"Address": "ada@example.com"},
    )
    assert (mapping().external_id, mapping().external_version) == ("1", "0")

    sql("UPDATE customer SET email = NULL, city = 'Oslo'")
    run()
    row = only_row(synced)
    assert (row["PrimaryEmailAddr"], row["BillAddr"]) == ({"Address": ""}, {"City": "Oslo"})

    sql("DELETE FROM customer")
    run()
    assert only_row(synced)["Active"] is False
    assert (mapping().status, mapping().external_version) == (Status.ARCHIVED, "2")
    assert len(synced.calls) == 3  # the version is known: nothing had to be read


def test_a_row_that_comes_back_is_active_again(
    synced: FakeQuickBooks, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("DELETE FROM customer")
    run()
    add()

    run()

    assert only_row(synced)["Active"] is True
    assert mapping().status == Status.SYNCED


def test_suppliers_are_vendors(
    quickbooks: FakeQuickBooks,
    connected: Connected,
    customers: str,
    subscribe: Subscribe,
    add: Callable[..., None],
    run: Callable[[], int],
) -> None:
    connected(provider="quickbooks")
    subscribe(
        table=customers,
        handler_type="SYNC",
        config='{"provider": "quickbooks", "entity": "supplier",'
        ' "fields": {"name": "name", "phone": "account_number"}}',
    )
    add()

    run()

    [((kind, _), row)] = quickbooks.rows.items()
    assert (kind, row["AcctNum"]) == ("Vendor", "")
    assert "PrimaryEmailAddr" not in row  # what the mapping leaves out is not sent


def test_a_record_that_was_changed_there_is_read_again(
    synced: FakeQuickBooks, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    only_row(synced).update(SyncToken="7", Notes="by hand")
    sql("UPDATE customer SET name = 'B'")

    assert run() == 1

    row = only_row(synced)
    assert (row["DisplayName"], row["Notes"], row["SyncToken"]) == ("B", "by hand", "8")
    assert mapping().external_version == "8"


def test_a_taken_name_is_linked(
    synced: FakeQuickBooks, add: Callable[..., None], run: Callable[[], int]
) -> None:
    synced.add("Customer", {"DisplayName": "O'Hara"})
    add(name="O'Hara")

    assert run() == 1

    assert only_row(synced)["PrimaryEmailAddr"] == {"Address": "ada@example.com"}
    assert (mapping().external_id, mapping().external_version) == ("1", "1")


def test_a_name_that_a_vendor_has_is_refused_for_a_customer(
    synced: FakeQuickBooks, add: Callable[..., None], run: Callable[[], int]
) -> None:
    synced.add("Vendor", {"DisplayName": "Ada Ltd"})
    add()

    assert run() == 0

    found = mapping()
    assert (found.status, found.external_id, found.pending_key) == (Status.FAILED, None, None)
    assert "6240" in found.last_error
    assert "no active customer there has it; rename one of the two" in found.last_error
    assert Delivery.objects.get().status == "dead"


@pytest.mark.parametrize("is_made", [True, False])
def test_a_creation_without_an_answer_is_not_doubled(
    synced: FakeQuickBooks,
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
    is_made: bool,
) -> None:
    add()
    if is_made:
        synced.lost = 1
    else:
        synced.faults = [lambda request: Response("", 504)]
    run()
    sql("UPDATE customer SET name = 'Renamed'")

    run()

    assert only_row(synced)["DisplayName"] == "Renamed"
    keys = [r.args["requestid"] for r in synced.requests if "requestid" in r.args]
    assert len(keys) == (1 if is_made else 2)
    assert len(set(keys)) == 1


def test_a_fault_in_an_answer_of_200_is_a_failure(
    synced: FakeQuickBooks, add: Callable[..., None], run: Callable[[], int]
) -> None:
    def fault(request: Request) -> Response:
        error = {"Message": "Invalid Number", "Detail": "too long", "code": "2040"}
        return answer({"Fault": {"Error": [error], "type": "ValidationFault"}})

    synced.faults = [fault]
    add()

    assert run() == 0

    assert mapping().last_error == "QuickBooks: Invalid Number: too long (2040)"
