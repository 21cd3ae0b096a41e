"""A form for each handler type, made from its Config alone; filters are tried before a save."""

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import resolve

from subscriptions.handlers import contract
from subscriptions.models import Delivery, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "/admin/subscriptions/subscription/add/"
FAX_APP = "tests.subscriptions.fax_app"
FAX = {
    "name": "fax",
    "company": "acme",
    "table": "orders",
    "operations": ["INSERT"],
    "filter": "{}",
    "handler_type": "FAX",
    "active": "on",
    "ordering": "none",
    "attempts": "3",
    "backoff": "standard",
    "batch_size": "1",
    "config_number": "+44 20 7946 0000",
    "config_speed": "9600",
    "config_pages": "2",
    "config_duplex": "on",
    "config_copies_to": "one\n two \n\n",
    "config_days": ["mon"],
    "config_fields": "total",
    "config_labels": "to: The office: second floor",
    "config_tray": '{"upper": 3}',
    "config_pin": "pin-4711",
    "config_accounts": "line: secret-line\nuser: secret-user",
}


@pytest.fixture
def fax_app() -> Iterator[Any]:
    """Install an app whose only file is handlers.py."""
    site = admin.site
    resolve(ADD)  # the routes of the site that there is: unfold makes another when apps change
    with override_settings(INSTALLED_APPS=[*settings.INSTALLED_APPS, FAX_APP]):
        yield sys.modules[f"{FAX_APP}.handlers"]
    admin.site = admin.sites.site = site
    del contract._handlers["FAX"]
    del sys.modules[f"{FAX_APP}.handlers"]


@pytest.fixture
def operator(client: Client, transactional_db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


def test_the_type_is_asked_for_first(operator: Client, fax_app: Any) -> None:
    page = operator.get(ADD).content.decode()

    assert 'href="?handler_type=WEBHOOK"' in page
    assert 'href="?handler_type=FAX"' in page
    assert "Print the event at the other end of a line." in page


def test_a_type_added_by_one_file_has_its_own_form_is_stored_and_delivered(
    operator: Client, orders: str, sql: Sql, messages: Messages, fax_app: Any
) -> None:
    form = operator.get(f"{ADD}?handler_type=FAX").content.decode()
    for part in (
        "Fax number",
        "With country code, &lt;as dialled&gt;.",
        '<option value="9600"',
        'name="config_days"',
        'type="password" name="config_pin"',
    ):
        assert part in form
    assert "config_url" not in form

    answer = operator.post(f"{ADD}?handler_type=FAX", FAX)

    assert answer.status_code == 302, answer.content.decode()
    stored = Subscription.objects.get()
    assert stored.config == {
        "number": "+44 20 7946 0000",
        "speed": 9600,
        "pages": 2,
        "copies_to": ["one", "two"],
        "days": ["mon"],
        "fields": ["total"],
        "labels": {"to": "The office: second floor"},
        "tray": {"upper": 3},
        "pin": "pin-4711",
        "accounts": {"line": "secret-line", "user": "secret-user"},
    }
    assert stored.backoff == "standard"
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(Router())
    from subscriptions.deliveries.delivery import deliver

    assert deliver(messages.ids) == 1
    assert Delivery.objects.get().status == "delivered"
    assert [item.config.speed for item in fax_app.SENT] == [9600]


def test_what_is_stored_is_shown_but_never_a_secret(
    operator: Client, orders: str, fax_app: Any
) -> None:
    operator.post(ADD, FAX)
    stored = Subscription.objects.get()
    url = f"/admin/subscriptions/subscription/{stored.pk}/change/"

    page = operator.get(url).content.decode()

    for part in ('<option value="9600" selected', "to: The office: second floor", "one\ntwo"):
        assert part in page
    assert "Set now: line, user." in page
    for secret in ("pin-4711", "secret-line", "secret-user"):
        assert secret not in page


def test_secrets_left_empty_are_kept_and_pairs_are_set_and_removed_one_by_one(
    operator: Client, orders: str, fax_app: Any
) -> None:
    operator.post(ADD, FAX)
    stored = Subscription.objects.get()
    url = f"/admin/subscriptions/subscription/{stored.pk}/change/"

    changed = operator.post(url, {**FAX, "config_pin": "", "config_accounts": "user:\nkey: new"})

    assert changed.status_code == 302
    config = Subscription.objects.get().config
    assert config["pin"] == "pin-4711"
    assert config["accounts"] == {"line": "secret-line", "key": "new"}


def test_what_was_sent_is_not_rendered_again_when_the_form_is_wrong(
    operator: Client, orders: str, fax_app: Any
) -> None:
    answer = operator.post(ADD, {**FAX, "config_pages": "10", "table": "nowhere"})

    page = answer.content.decode()
    assert answer.status_code == 200
    assert "less than or equal to 9" in page
    assert "+44 20 7946 0000" in page
    for secret in ("pin-4711", "secret-line", "secret-user"):
        assert secret not in page


def test_a_filter_is_tried_on_past_events_and_nothing_is_saved(
    operator: Client, orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    pk = subscribe()
    sql("INSERT INTO orders SELECT n, 'acme', 'open' FROM generate_series(1, 3) n")
    sql("INSERT INTO orders VALUES (4, 'acme', 'paid'), (5, 'globex', 'paid')")
    form = {**FAX, "handler_type": "WEBHOOK", "name": "", "_try": "1"}

    answer = operator.post(ADD, {**form, "filter": '{"status": "paid"}'})

    page = " ".join(answer.content.decode().split())
    assert "1 of 4 past events matches" in page
    assert "{&quot;id&quot;:4,&quot;company&quot;:&quot;acme&quot;" in page
    assert "Nothing was saved" in page
    assert "This field is required" not in page
    assert list(Subscription.objects.values_list("pk", flat=True)) == [pk]


def test_a_trial_says_what_is_wrong_with_the_filter(operator: Client, orders: str) -> None:
    form = {**FAX, "handler_type": "WEBHOOK", "_try": "1", "filter": '{"colour": 1}'}

    page = operator.post(ADD, form).content.decode()

    assert "filter: there is no colour" in page


def test_the_form_of_a_type_that_no_code_registers_shows_no_config(
    operator: Client, orders: str, subscribe: Callable[..., int]
) -> None:
    pk = subscribe(handler_type="GONE", config='{"token": "very-secret"}')

    address = f"/admin/subscriptions/subscription/{pk}/change/"

    page = operator.get(address).content.decode()
    refused = operator.post(address, {**FAX, "handler_type": "GONE"}).content.decode()

    assert "No code here registers this type." in page
    assert "&#x27;GONE&#x27; does not exist; there are:" in refused
    assert "very-secret" not in page
