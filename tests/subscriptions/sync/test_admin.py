"""The admin's pages: what failed, sending it again, and connections whose tokens never show."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from jobs.models import Membership
from subscriptions.models import Delivery, ExternalConnection, ExternalMapping
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.conftest import mapping
from tests.subscriptions.sync.fakes import FakeXero

pytestmark = pytest.mark.django_db(transaction=True)

MAPPINGS = "admin:subscriptions_externalmapping_changelist"
CONNECTIONS = "admin:subscriptions_externalconnection_changelist"
ADD = "admin:subscriptions_externalconnection_add"


@pytest.fixture
def operator(client: Client, transactional_db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def synced(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    customers: str,
    subscribe: Callable[..., int],
) -> FakeXero:
    connected()
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    return xero


def staff_of(company: str) -> User:
    user = User.objects.create_user("helper", is_staff=True)
    Membership.objects.create(user=user, company=company)
    user.user_permissions.set(Permission.objects.filter(content_type__model__startswith="external"))
    return user


def send_again(client: Client) -> str:
    chosen = list(ExternalMapping.objects.values_list("pk", flat=True))
    given = {"action": "send_records_again", "_selected_action": chosen}
    page = client.post(reverse(MAPPINGS), given, follow=True)
    return page.content.decode()


def test_what_failed_is_listed_with_its_error_and_sent_again(
    operator: Client,
    synced: FakeXero,
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
) -> None:
    sql("INSERT INTO customer (id, company, name, email) VALUES ('c1', 'acme', 'Ada', 'nonsense')")
    run()
    failed = operator.get(reverse(MAPPINGS), {"status__exact": "failed"}).content.decode()
    assert "Email address must be valid." in failed
    page = operator.get(
        reverse("admin:subscriptions_externalmapping_change", args=[mapping().pk])
    ).content.decode()
    assert reverse("admin:subscriptions_delivery_change", args=[Delivery.objects.get().pk]) in page

    sql("SET session_replication_role = replica")  # somebody repairs it, and nothing tells of it
    sql("UPDATE customer SET email = 'ada@example.com'")
    sql("SET session_replication_role = origin")
    assert "1 of 1 record on the way." in send_again(operator)

    assert synced.contacts == {}  # not in the web process
    assert run() == 1
    assert len(synced.contacts) == 1
    assert mapping().status == "synced"


def test_sending_again_pushes_what_the_provider_seems_to_hold(
    operator: Client,
    synced: FakeXero,
    add: Callable[..., None],
    run: Callable[[], int],
) -> None:
    add()
    run()
    [contact] = synced.contacts.values()
    contact["EmailAddress"] = "changed@there.example"

    send_again(operator)
    run()

    assert next(iter(synced.contacts.values()))["EmailAddress"] == "ada@example.com"


def test_a_record_on_its_way_is_not_sent_twice(
    operator: Client, synced: FakeXero, add: Callable[..., None], run: Callable[[], int]
) -> None:
    add()
    synced.lost = 1
    run()

    assert "0 of 1 record on the way. some are on their way already" in send_again(operator)


def test_a_connection_is_made_and_its_tokens_never_show(operator: Client) -> None:
    given: dict[str, Any] = {
        "company": "acme",
        "provider": "xero",
        "tenant_id": "t-1",
        "new_refresh_token": "very-secret-r",
        "new_access_token": "very-secret-a",
        "seconds_to_live": "1800",
    }
    made = operator.post(reverse(ADD), given, follow=True).content.decode()
    row = ExternalConnection.objects.get()
    assert (row.company, row.refresh_token, row.access_token) == (
        "acme",
        "very-secret-r",
        "very-secret-a",
    )
    change = reverse("admin:subscriptions_externalconnection_change", args=[row.pk])
    wrong = operator.post(reverse(ADD), {**given, "company": "b", "tenant_id": "../x"})
    pages = [
        made,
        wrong.content.decode(),
        operator.get(change).content.decode(),
        operator.get(reverse(CONNECTIONS)).content.decode(),
        operator.get(change.replace("change", "history")).content.decode(),
    ]
    assert "letters, digits and -" in pages[1]
    assert not any("very-secret" in page for page in pages)

    ExternalConnection.objects.update(status="broken", error="invalid_grant")
    operator.post(change, {"tenant_id": "t-1", "new_refresh_token": "new"}, follow=True)
    row.refresh_from_db()
    assert (row.status, row.error, row.refresh_token, row.access_token) == (
        "active",
        "",
        "new",
        None,
    )


def test_the_add_form_changes_no_connection_that_is_there(
    operator: Client, client: Client, connected: Callable[..., ExternalConnection]
) -> None:
    connected("acme", tenant_id="first")
    given = {"provider": "xero", "tenant_id": "second", "new_refresh_token": "r"}

    page = operator.post(reverse(ADD), {**given, "company": "acme"}).content.decode()
    client.force_login(staff_of("acme"))
    own = client.post(reverse(ADD), given).content.decode()

    for said in (page, own):
        assert "acme is connected to Xero already: open that connection" in said
    assert ExternalConnection.objects.get().tenant_id == "first"


def test_staff_of_a_company_see_and_connect_their_own_only(
    client: Client, connected: Callable[..., ExternalConnection]
) -> None:
    foreign = connected("globex", tenant_id="theirs")
    ExternalMapping.objects.create(
        company="globex", provider="xero", entity="customer", record_id="their-record"
    )
    client.force_login(staff_of("acme"))

    client.post(
        reverse(ADD),
        {"company": "globex", "provider": "xero", "tenant_id": "t-1", "new_refresh_token": "r"},
    )
    page = reverse("admin:subscriptions_externalconnection_change", args=[foreign.pk])
    client.post(page, {"tenant_id": "stolen", "new_refresh_token": "r"})

    rows = dict(ExternalConnection.objects.values_list("company", "tenant_id"))
    assert rows == {"acme": "t-1", "globex": "theirs"}
    for listed in (MAPPINGS, CONNECTIONS):
        text = client.get(reverse(listed)).content.decode()
        assert "their" not in text
