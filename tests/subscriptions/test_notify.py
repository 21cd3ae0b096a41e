"""NOTIFY: through Apprise's own services, sent to a server of the test's instead of theirs."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from apprise import Apprise
from apprise.plugins.discord import NotifyDiscord
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from subscriptions import examples, sealing, services
from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.configs import visible
from subscriptions.handlers.contract import handler_named
from subscriptions.handlers.notify import SERVICES, UNSEEN, without_secrets
from subscriptions.models import Delivery, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Sql

pytestmark = pytest.mark.django_db(transaction=True)

URL = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
PATH = "/hooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"


@pytest.fixture
def customers(make_table: Callable[..., None], sql: Sql) -> str:
    make_table("customers", "id int PRIMARY KEY, company text, name text")
    sql("SELECT attach_event_trigger('customers', company => 'company')")
    return "customers"


@pytest.fixture
def discord(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    monkeypatch.setattr(NotifyDiscord, "notify_url", httpserver.url_for("/hooks"))
    monkeypatch.setattr(NotifyDiscord, "request_rate_per_sec", 0)
    return httpserver


@pytest.fixture
def notify(customers: str, subscribe: Callable[..., int]) -> Callable[..., int]:
    """Subscribe by plain SQL, the URL in the clear."""

    def make(**config: Any) -> int:
        text = json.dumps({"apprise": URL, **config})
        return subscribe("acme", customers, handler_type="NOTIFY", config=text)

    return make


def received(discord: HTTPServer) -> list[Any]:
    """Answer as Discord does; return the list of payloads to come."""
    payloads: list[Any] = []

    def answer(request: Request) -> Response:
        payloads.append(request.get_json())
        return Response("", 204)

    discord.expect_request(PATH, method="POST").respond_with_handler(answer)
    return payloads


def test_people_are_told_in_the_words_of_the_template(
    discord: HTTPServer, notify: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    sent = received(discord)
    notify(title="New: {new.name}", body="{table} {record_id}: {new.name} {{ok}}")
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro')")

    assert deliver() == 1

    [payload] = sent
    assert payload["content"] == "New: Bistro\r\ncustomers 7: Bistro {ok}"
    assert "avatar_url" not in payload


def test_without_templates_all_values_are_told(
    discord: HTTPServer, notify: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    sent = received(discord)
    notify()
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro')")

    assert deliver() == 1

    assert sent[0]["content"].splitlines() == [
        "customers 7 was added",
        "id: 7",
        "company: acme",
        "name: Bistro",
    ]


def test_data_calls_nobody_but_the_subscriptions_own_words_may(
    discord: HTTPServer, notify: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    sent = received(discord)
    notify(title="@here: {new.name}")
    sql("INSERT INTO customers VALUES (7, 'acme', 'Eve @everyone <@1> <!channel> a@b.example')")

    assert deliver() == 1

    name = "Eve @\u200beveryone <\u200b@1> <\u200b!channel> a@b.example"
    assert sent[0]["content"].splitlines() == [
        f"@here: {name.replace(UNSEEN, ' ')}",  # a title holds nothing unseen
        "id: 7",
        "company: acme",
        f"name: {name}",
    ]


@pytest.mark.parametrize(("status", "said"), [(500, "error=500"), (404, "error=404")])
def test_what_the_service_refuses_is_tried_again_and_no_secret_is_told(
    status: int,
    said: str,
    discord: HTTPServer,
    notify: Callable[..., int],
    sql: Sql,
    deliver: Callable[[], int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    discord.expect_request(PATH).respond_with_data("no: " + URL, status)
    notify()
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro')")

    with caplog.at_level(logging.DEBUG):
        assert deliver() == 0

    found = Delivery.objects.get()
    assert found.status == Delivery.Status.RETRYING
    assert said in found.error
    logged = "".join(r.getMessage() for r in caplog.records if r.name != "werkzeug")
    assert "JHMHI8qBe7bk2ZwO5U711o3dV_js" not in found.error + logged


def test_a_service_that_is_away_is_tried_again_and_no_secret_is_told(
    discord: HTTPServer,
    notify: Callable[..., int],
    sql: Sql,
    deliver: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(NotifyDiscord, "notify_url", "http://127.0.0.1:9/hooks")
    notify()
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro')")
    deliver()

    found = Delivery.objects.get()
    assert found.status == Delivery.Status.RETRYING
    assert found.error
    assert "JHMHI8qBe7bk2ZwO5U711o3dV_js" not in found.error


def test_a_redirect_is_not_followed(
    discord: HTTPServer, notify: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    discord.expect_request(PATH).respond_with_data(
        "", 302, headers={"Location": discord.url_for("/inside")}
    )
    discord.expect_request("/inside").respond_with_data("", 204)
    notify()
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro')")

    assert deliver() == 0

    assert [request.path for request, _ in discord.log] == [PATH]


def test_the_url_is_encrypted_wherever_it_came_from(
    customers: str, notify: Callable[..., int], sql: Sql, deliver: Callable[[], int]
) -> None:
    written = notify(title="x")
    made = services.create_subscription(
        name="made", company="acme", handler_type="NOTIFY", table=customers, config={"apprise": URL}
    )
    again = services.create_subscription(
        name="made", company="acme", handler_type="NOTIFY", table=customers, config=made.config
    )
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro')")
    relay_all(Router())

    stored: dict[int, str] = dict(sql("SELECT id, config::text FROM event_system_subscription"))
    assert set(stored) == {written, made.pk} == {written, again.pk}
    for text in stored.values():
        assert "JHMHI8qBe7bk2ZwO5U711o3dV_js" not in text
        assert json.loads(text)["apprise"].startswith(sealing.SEALED)
    handler = handler_named("NOTIFY")
    config = Subscription.objects.get(pk=written).config
    assert sealing.unseal(handler, config) == {"apprise": URL, "title": "x"}
    assert visible(handler, config) == {"title": "x"}


def test_a_url_that_was_encrypted_with_another_key_says_so(
    notify: Callable[..., int], sql: Sql, deliver: Callable[[], int], settings: Settings
) -> None:
    pk = notify()
    sql("INSERT INTO customers VALUES (6, 'acme', 'Bistro')")
    relay_all(Router())
    settings.SALT_KEY = "another"
    Subscription.objects.filter(pk=pk).update(attempts=4)
    sql("INSERT INTO customers VALUES (7, 'acme', 'Bistro')")
    relay_all(Router())

    reason = Subscription.objects.get(pk=pk).invalid_reason
    assert reason is not None
    assert reason.startswith("config.apprise: cannot be decrypted: SECRET_KEY or SALT_KEY")


def test_a_preview_shows_no_url(notify: Callable[..., int]) -> None:
    subscription = Subscription.objects.get(pk=notify(body="{new.name}!"))

    shown = examples.preview(subscription, examples.example(subscription).event)

    assert shown.title.startswith("notify by discord: customers ")
    assert "JHMHI8qBe7bk2ZwO5U711o3dV_js" not in repr(shown)


ELSEWHERE = [
    "json://10.0.0.1/x",
    "xmls://example.com",
    "form://example.com",
    "mailto://user:pass@example.com",
    "ntfy://ntfy.example.com/topic",
    "gotify://example.com/token",
    "matrix://user:pass@example.com",
    "mmost://example.com/token",
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "file:///etc/passwd",
    "syslog://",
    " discord://1/2",
    "discord://1/2\njson://10.0.0.1",
    "discord",
    URL + "?template=/etc/passwd",
    URL + "/#x?template=/etc/passwd",
    URL + "?to=a?template=/etc/passwd",
    URL + "?to=a;template=/etc/passwd",
    URL + "?%74emplate=/etc/passwd",
    URL + "?verify=no",
    URL + "?redirect=yes",
    URL + "?rto=99999",
    URL + "?+X-Header=x",
    "discord://",
    "slack://too/short",
]


def test_a_url_that_may_lead_elsewhere_is_refused_and_not_repeated(customers: str) -> None:
    for url in ELSEWHERE:
        with pytest.raises(InvalidSubscription) as caught:
            services.create_subscription(
                name="x",
                company="acme",
                handler_type="NOTIFY",
                table=customers,
                config={"apprise": url},
            )

        assert caught.value.field == "config.apprise"
        assert url.strip() not in caught.value.problem.replace("such as slack://", "")


WRONG = [
    ({"title": "{new.nam}"}, "there is no new.nam; there are: new.company, new.id, new.name"),
    ({"body": "{payload.x}"}, "such events have new, not payload"),
    ({"body": "{name}"}, "must begin with one of"),
    ({"body": "{new.name!r}"}, "without ':' or '!'"),
]


def test_a_template_that_cannot_be_right_is_refused(customers: str) -> None:
    for config, allowed in WRONG:
        with pytest.raises(InvalidSubscription) as caught:
            services.create_subscription(
                name="x",
                company="acme",
                handler_type="NOTIFY",
                table=customers,
                config={"apprise": URL, **config},
            )

        assert allowed in caught.value.problem


def test_no_allowed_service_takes_a_host() -> None:
    known = set()
    for service in Apprise().details()["schemas"]:
        schemes = {*(service["protocols"] or ()), *(service["secure_protocols"] or ())}
        if found := schemes & SERVICES:
            known |= found
            templates = service["details"]["templates"]
            assert not [t for t in templates if "{host}" in t or "{port}" in t], found

    assert known == SERVICES


def test_secrets_are_found_in_a_text_in_any_writing() -> None:
    url = "tgram://123456789:AA%2Bbcdefgh/chat"

    told = without_secrets("POST https://x/bot123456789:AA+bcdefgh failed\nAA%2Bbcdefgh", url=url)

    assert "bcdefgh" not in told
    assert "123456789" not in told
    assert told.startswith("POST https://x/bot…")


def test_the_admin_takes_the_url_keeps_it_and_never_shows_it(
    client: Client, customers: str
) -> None:
    client.force_login(User.objects.create_superuser("operator"))
    form = {
        "name": "tell", "company": "acme", "table": customers, "operations": ["INSERT"],
        "handler_type": "NOTIFY", "filter": "{}", "backoff": "{}", "active": "on", "attempts": "3",
        "ordering": "none", "batch_size": "1",
    }  # fmt: skip
    made = client.post(
        "/admin/subscriptions/subscription/add/",
        {**form, "config_apprise": URL, "config_title": "a"},
    )
    assert made.status_code == 302
    stored = Subscription.objects.get().config["apprise"]
    page = f"/admin/subscriptions/subscription/{Subscription.objects.get().pk}/change/"

    shown = client.get(page).content.decode()
    changed = client.post(page, {**form, "config_apprise": "", "config_title": "b"})

    assert changed.status_code == 302
    assert Subscription.objects.get().config == {"apprise": stored, "title": "b"}
    assert stored.startswith(sealing.SEALED)
    assert stored not in shown
    assert "JHMHI8qBe7bk2ZwO5U711o3dV_js" not in shown
