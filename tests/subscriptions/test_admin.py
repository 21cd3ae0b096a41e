"""The admin: every list opens, subscriptions are made with clear errors, secrets never show."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_httpserver import HTTPServer

from subscriptions import sealing
from subscriptions.deliveries import delivery
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Delivery, DeliveryAttempt, Event, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql

pytestmark = pytest.mark.django_db(transaction=True)

FORM = {
    "name": "hook",
    "company": "acme",
    "table": "orders",
    "event_type": "",
    "operations": ["INSERT", "UPDATE"],
    "filter": '{"status": "confirmed"}',
    "handler_type": "WEBHOOK",
    "config_url": "https://93.184.216.34/hook",
    "config_method": '"POST"',
    "config_format": '"default"',
    "config_headers": "Authorization: Bearer very-secret",
    "config_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "active": "on",
    "attempts": "3",
    "backoff": "{}",
    "ordering": "none",
    "batch_size": "1",
}
ADD = "/admin/subscriptions/subscription/add/"


@pytest.fixture
def operator(client: Client, transactional_db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


def change_url(subscription: Subscription) -> str:
    return reverse("admin:subscriptions_subscription_change", args=[subscription.pk])


@pytest.mark.usefixtures("local_receivers")
def test_every_list_and_page_opens(
    operator: Client,
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/hook").respond_with_data("answered so")
    subscribe(config=f'{{"url": "{httpserver.url_for("/hook")}"}}')
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(Router())
    delivery.deliver(messages.ids)

    rows = {
        "event": Event.objects.get(),
        "subscription": Subscription.objects.get(),
        "delivery": Delivery.objects.get(),
        "deliveryattempt": DeliveryAttempt.objects.get(),
    }
    for name, row in rows.items():
        listed = operator.get(reverse(f"admin:subscriptions_{name}_changelist"))
        shown = operator.get(reverse(f"admin:subscriptions_{name}_change", args=[row.pk]))
        assert (listed.status_code, shown.status_code) == (200, 200), name
    assert operator.get(reverse("admin:subscriptions_relaycursor_changelist")).status_code == 200
    page = operator.get(reverse("admin:subscriptions_delivery_change", args=[rows["delivery"].pk]))
    assert "answered so" in page.content.decode()


def test_the_deliveries_of_a_deleted_subscription_stay_listed(
    operator: Client, orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages
) -> None:
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(Router())
    sql("DELETE FROM event_system_subscription")

    page = operator.get(reverse("admin:subscriptions_delivery_changelist"))

    assert "(deleted)" in page.content.decode()


@pytest.mark.parametrize("name", ["event", "delivery", "deliveryattempt", "relaycursor"])
def test_what_was_recorded_cannot_be_added(operator: Client, name: str) -> None:
    assert operator.get(f"/admin/subscriptions/{name}/add/").status_code == 403


def test_a_subscription_is_made_and_its_secrets_never_come_out(
    operator: Client, orders: str
) -> None:
    assert operator.post(ADD, FORM).status_code == 302

    stored = Subscription.objects.get()
    assert (stored.name, stored.company, stored.operations) == (
        "hook",
        "acme",
        ["INSERT", "UPDATE"],
    )
    config = sealing.unseal(handler_named("WEBHOOK"), stored.config)
    assert config["headers"] == {"Authorization": "Bearer very-secret"}
    assert stored.secret == FORM["config_secret"]
    page = operator.get(change_url(stored)).content.decode()
    listed = operator.get(reverse("admin:subscriptions_subscription_changelist")).content.decode()
    for text in ("very-secret", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"):
        assert text not in page
        assert text not in listed


def test_an_empty_secret_and_empty_headers_keep_what_there_is(
    operator: Client, orders: str
) -> None:
    operator.post(ADD, FORM)
    stored = Subscription.objects.get()

    answer = operator.post(
        change_url(stored), {**FORM, "config_headers": "", "config_secret": "", "filter": "{}"}
    )

    assert answer.status_code == 302
    changed = Subscription.objects.get()
    assert (changed.pk, changed.filter) == (stored.pk, {})
    assert (changed.secret, changed.config) == (stored.secret, stored.config)


def test_who_may_only_look_sees_no_headers(client: Client, orders: str, operator: Client) -> None:
    operator.post(ADD, FORM)
    viewer = User.objects.create_user("viewer", is_staff=True)
    from django.contrib.auth.models import Permission

    viewer.user_permissions.add(Permission.objects.get(codename="view_subscription"))
    client.force_login(viewer)

    page = client.get(change_url(Subscription.objects.get())).content.decode()

    assert "93.184.216.34" in page
    assert "Authorization" in page
    assert "very-secret" not in page
    assert sealing.SEALED not in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "nowhere"}, "table: &#x27;nowhere&#x27; is not watched; watched: orders"),
        ({"table": ""}, "table: give either table or event_type"),
        ({"config_url": "http://10.0.0.1/"}, "config.url: 10.0.0.1: is not a public"),
        ({"config_url": ""}, "This field is required."),
        ({"filter": '{"colour": 1}'}, "filter: there is no colour; there are: company, id, status"),
        ({"filter": '{"id": NaN}'}, "filter: is not JSON that can be stored"),
        ({"filter": '{"status": "\\u0000"}'}, "filter: must not contain the character NUL"),
        ({"filter": '{"status": "\\ud800"}'}, "filter: is not JSON that can be stored"),
        ({"config_headers": "Host: x"}, "Host is set by the platform"),
        ({"config_headers": "x"}, "Line 1 is not of the form name: value."),
        ({"config_secret": "short"}, "must be whsec_ and the base64"),
        ({"operations": []}, "This field is required."),
        ({"owner": "nobody"}, "Enter a valid email address."),
        ({"debounce": "a while"}, "Enter a valid duration."),
    ],
)
def test_a_wrong_form_says_which_field_and_what_is_allowed(
    change: dict[str, object], message: str, operator: Client, orders: str
) -> None:
    answer = operator.post(ADD, {**FORM, **change})

    assert answer.status_code == 200
    assert message in answer.content.decode()
    assert not Subscription.objects.exists()


def test_a_name_is_given_once_per_company(operator: Client, orders: str) -> None:
    operator.post(ADD, FORM)

    answer = operator.post(ADD, FORM)

    assert answer.status_code == 200
    assert Subscription.objects.count() == 1


@pytest.mark.parametrize("odd", ["1e5000", "[" * 3000 + "]" * 3000, "1e400"])
def test_an_event_that_python_cannot_parse_has_its_page(
    operator: Client,
    make_table: Callable[..., None],
    sql: Sql,
    subscribe: Callable[..., int],
    odd: str,
) -> None:
    make_table("odd_rows", "id int PRIMARY KEY, company text, doc jsonb")
    sql("SELECT attach_event_trigger('odd_rows')")
    subscribe(table="odd_rows")
    sql("INSERT INTO odd_rows VALUES (1, 'acme', %s)", odd)

    event = Event.objects.get(table="odd_rows")
    page = operator.get(reverse("admin:subscriptions_event_change", args=[event.pk]))

    assert page.status_code == 200
    assert "odd_rows" in page.content.decode()
