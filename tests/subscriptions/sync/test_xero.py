"""Xero: contacts made, changed, linked and archived, and its refusals."""

from collections.abc import Callable

import pytest
from werkzeug import Request, Response

from subscriptions.models import Delivery, DeliveryAttempt, ExternalConnection, ExternalMapping
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.conftest import mapping
from tests.subscriptions.sync.fakes import FakeXero

pytestmark = pytest.mark.django_db(transaction=True)

Connected = Callable[..., ExternalConnection]
Subscribe = Callable[..., int]
Status = ExternalMapping.Status


@pytest.fixture
def synced(xero: FakeXero, connected: Connected, customers: str, subscribe: Subscribe) -> FakeXero:
    """Customers of acme go to Xero."""
    connected()
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    return xero


def only_contact(xero: FakeXero) -> dict[str, object]:
    [contact] = xero.contacts.values()
    return contact


def last_delivery() -> Delivery:
    return Delivery.objects.order_by("-id")[0]


def test_an_insert_makes_a_contact_and_notes_its_id(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int]
) -> None:
    add()

    assert run() == 1

    contact = only_contact(synced)
    assert (contact["Name"], contact["EmailAddress"]) == ("Ada Ltd", "ada@example.com")
    assert "IsCustomer" not in contact  # Xero sets it itself
    found = mapping()
    assert (found.company, found.entity, found.provider) == ("acme", "customer", "xero")
    assert (found.external_id, found.status, found.last_error) == (
        contact["ContactID"],
        Status.SYNCED,
        "",
    )
    assert found.last_synced_at is not None
    assert found.busy_until is None
    assert DeliveryAttempt.objects.get().response == f"created {contact['ContactID']}"


def test_an_update_changes_the_same_contact_and_empties_what_is_null(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("UPDATE customer SET email = NULL, phone = '555', city = 'Oslo'")

    assert run() == 1

    contact = only_contact(synced)
    assert contact["EmailAddress"] == ""
    assert contact["Phones"] == [
        {"PhoneType": "DEFAULT", "PhoneNumber": "555"},
    ]
    assert contact["Addresses"] == [{"AddressType": "POBOX", "City": "Oslo"}]


def test_the_record_is_pushed_as_it_is_now_and_once_for_several_events(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    sql("UPDATE customer SET name = 'Ada GmbH'")
    sql("UPDATE customer SET name = 'Ada SE'")

    run()

    assert only_contact(synced)["Name"] == "Ada SE"
    assert len(synced.calls) == 1


def test_what_the_provider_holds_already_is_delivered_without_a_call(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("UPDATE customer SET id = id, name = name || ''")
    sql("UPDATE customer SET company = company, name = ' Ada Ltd '")  # an echo, but for blanks

    assert run() >= 1

    assert len(synced.calls) == 1
    assert last_delivery().status == "delivered"


def test_a_delete_archives(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("DELETE FROM customer")

    assert run() == 1

    assert only_contact(synced)["ContactStatus"] == "ARCHIVED"
    assert mapping().status == Status.ARCHIVED


def test_a_delete_of_a_row_that_is_back_pushes_it(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("DELETE FROM customer")
    add(name="Ada again")

    run()

    contact = only_contact(synced)
    assert (contact["Name"], contact["ContactStatus"]) == ("Ada again", "ACTIVE")


def test_a_row_that_comes_back_later_is_a_new_contact(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("DELETE FROM customer")
    run()
    add()

    run()

    states = sorted(str(contact["ContactStatus"]) for contact in synced.contacts.values())
    assert states == ["ACTIVE", "ARCHIVED"]
    assert synced.contacts[mapping().external_id or ""]["ContactStatus"] == "ACTIVE"


@pytest.mark.parametrize("existing", ['The "Ada" Ltd', 'THE "ADA" ltd'])
def test_a_taken_name_is_linked_and_brought_up_to_date(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], existing: str
) -> None:
    synced.save({"Name": existing, "EmailAddress": "old@example.com"}, "by-hand")
    add(name='The "Ada" Ltd')

    assert run() == 1

    assert only_contact(synced)["EmailAddress"] == "ada@example.com"
    assert mapping().external_id == "by-hand"


def test_two_records_of_one_name_do_not_share_a_contact(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int]
) -> None:
    add("c1")
    run()
    add("c2")
    run()

    assert len(synced.contacts) == 1
    states = dict(ExternalMapping.objects.values_list("record_id", "status"))
    assert states == {"c1": Status.SYNCED, "c2": Status.FAILED}
    error = mapping("c2").last_error
    assert "it is record c1 of customer already: give one of the two another name" in error
    assert Delivery.objects.get(status="dead").error == error


def test_a_supplier_with_a_customers_name_is_the_same_contact_until_both_are_gone(
    synced: FakeXero,
    add: Callable[..., None],
    run: Callable[[], int],
    make_table: Callable[..., None],
    subscribe: Subscribe,
    sql: Sql,
) -> None:
    make_table('"Supplier"', "id text PRIMARY KEY, company text, name text")
    sql("SELECT attach_event_trigger('Supplier', company => 'company')")
    subscribe(table="Supplier", handler_type="SYNC", name="s", config='{"provider": "xero"}')
    add()
    sql("INSERT INTO \"Supplier\" VALUES ('s1', 'acme', 'Ada Ltd')")
    run()
    assert mapping("s1", entity="supplier").external_id == mapping("c1").external_id

    sql("DELETE FROM customer")
    run()
    assert only_contact(synced)["ContactStatus"] == "ACTIVE"
    sql('DELETE FROM "Supplier"')
    run()
    assert only_contact(synced)["ContactStatus"] == "ARCHIVED"


def test_a_refused_record_is_dead_with_xeros_words(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    sql("INSERT INTO customer (id, company, name, email) VALUES ('c1', 'acme', 'Ada', 'nonsense')")

    assert run() == 0

    assert last_delivery().status == "dead"
    assert mapping().last_error == "Xero: Email address must be valid."
    assert mapping().pending_key is None
    assert "ValidationException" in DeliveryAttempt.objects.get().response


def test_a_creation_that_failed_is_asked_again_word_for_word(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    synced.faults = [lambda request: Response("", 502)]
    assert run() == 0
    assert mapping().status == Status.FAILED

    sql("UPDATE customer SET name = 'Renamed Ltd'")
    assert run() == 1

    assert only_contact(synced)["Name"] == "Renamed Ltd"
    creations = [request for request in synced.requests if request.method == "PUT"]
    assert len(creations) == 2
    assert len({request.headers["idempotency-key"] for request in creations}) == 1
    assert len({request.get_data() for request in creations}) == 1


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_creation_whose_answer_was_lost_makes_no_second_contact(
    synced: FakeXero,
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
    is_remembered: bool,
) -> None:
    add()
    synced.lost = 1
    assert run() == 0
    if not is_remembered:
        synced.remembered.clear()

    sql("UPDATE customer SET name = 'Renamed Ltd'")
    assert run() == 1

    assert only_contact(synced)["Name"] == "Renamed Ltd"


def test_a_record_deleted_before_its_creation_was_answered_is_archived(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    synced.lost = 1
    run()
    sql("DELETE FROM customer")

    run()

    assert only_contact(synced)["ContactStatus"] == "ARCHIVED"


def test_a_lost_answer_to_an_update_is_not_taken_for_no_change(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    sql("UPDATE customer SET name = 'B'")
    synced.lost = 1
    run()
    assert only_contact(synced)["Name"] == "B"

    sql("UPDATE customer SET name = 'Ada Ltd'")
    run()

    assert only_contact(synced)["Name"] == "Ada Ltd"


def test_an_organisation_that_disconnected_the_app_says_who_must_act(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int]
) -> None:
    def forbidden(request: Request) -> Response:
        return Response('{"Title": "Forbidden", "Detail": "AuthenticationUnsuccessful"}', 403)

    synced.faults = [forbidden]
    add()

    assert run() == 0

    assert last_delivery().status == "retrying"
    assert "Forbidden: AuthenticationUnsuccessful" in mapping().last_error
