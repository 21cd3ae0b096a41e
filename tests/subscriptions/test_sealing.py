"""Values of headers: encrypted wherever they came from, sent as they are, never shown."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings
from pytest_httpserver import HTTPServer

from subscriptions import sealing, services
from subscriptions.deliveries import delivery
from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.configs import visible
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Delivery, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql

pytestmark = pytest.mark.django_db(transaction=True)

PUBLIC = "https://93.184.216.34/hook"


def stored(sql: Sql) -> dict[str, Any]:
    [(text,)] = sql("SELECT config::text FROM event_system_subscription")
    found: dict[str, Any] = json.loads(text)
    return found


def test_headers_that_sql_wrote_are_encrypted_on_first_load_and_sent_as_they_are(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    messages: Messages,
    httpserver: HTTPServer,
    local_receivers: None,
) -> None:
    wanted = {"X-Key": "very-secret", "X-Empty": "", "X-A": "é"}
    sent = {"X-Key": "very-secret", "X-A": "é"}
    httpserver.expect_request("/hook", headers=sent).respond_with_data()
    config = {"url": httpserver.url_for("/hook"), "headers": wanted}
    pk = subscribe(config=json.dumps(config))
    sql("INSERT INTO orders VALUES (1, 'acme', 'new')")

    relay_all(Router())
    first = stored(sql)

    assert set(first["headers"]) == set(wanted)
    assert all(text.startswith(sealing.SEALED) for text in first["headers"].values())
    assert delivery.deliver(messages.ids) == 1
    handler = handler_named("WEBHOOK")
    row = Subscription.objects.get(pk=pk)
    assert (row.invalid_reason, sealing.unseal(handler, row.config)) == (None, config)
    assert not sealing.has_plain(handler, row.config)
    assert visible(handler, row.config) == {"url": config["url"]}
    assert set(sealing.masked(handler, row.config)["headers"].values()) == {"•••"}
    relay_all(Router())
    assert stored(sql) == first


def test_a_saved_header_is_encrypted_once_and_stays_when_it_is_saved_again(
    orders: str, sql: Sql
) -> None:
    given: dict[str, Any] = {"company": "acme", "handler_type": "WEBHOOK", "table": orders}
    config = {"url": PUBLIC, "headers": {"X-Key": "very-secret"}}
    made = services.create_subscription(name="a", config=config, **given)
    first = stored(sql)

    services.create_subscription(name="a", config=made.config, **given)
    services.change_subscription(made.pk, {"active": False}, config={"method": "PUT"})

    assert "very-secret" not in json.dumps(first)
    assert stored(sql) == {**first, "method": "PUT"}


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({f"X-{n}": "a" for n in range(101)}, r"config\.headers: .*at most 100 items"),
        ({"X-A": "a" * 16_384}, r"config\.headers: .*have more than 16384 characters"),
        ({"X-A": "sealed:forged"}, r"config\.headers\.X-A: cannot be decrypted"),
    ],
)
def test_headers_that_cannot_be_kept_are_refused(
    orders: str, headers: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidSubscription, match=said):
        services.create_subscription(
            name="a",
            company="acme",
            handler_type="WEBHOOK",
            table=orders,
            config={"url": PUBLIC, "headers": headers},
        )


def test_a_config_that_is_too_large_once_encrypted_is_refused_and_stops_no_relay(
    orders: str, subscribe: Callable[..., int], sql: Sql, messages: Messages
) -> None:
    config = {"url": f"{PUBLIC}?{'a' * 48_000}", "headers": {"X-A": "b" * 16_000}}
    with pytest.raises(InvalidSubscription, match=r"config: has \d+ bytes; at most 65536"):
        services.create_subscription(
            name="a", company="acme", handler_type="WEBHOOK", table=orders, config=config
        )
    subscribe(config=json.dumps(config))
    subscribe(name="well")
    sql("INSERT INTO orders VALUES (1, 'acme', 'new')")

    relay_all(Router())

    assert Delivery.objects.count() == 2


def test_headers_that_were_encrypted_with_another_key_say_so(
    orders: str, subscribe: Callable[..., int], settings: Settings
) -> None:
    pk = subscribe(config=json.dumps({"url": PUBLIC, "headers": {"X-Key": "very-secret"}}))
    router = Router()
    router.refresh()
    router.note_verdicts()
    settings.SECRET_KEY = "another"

    router = Router()
    router.refresh()
    router.note_verdicts()

    reason = Subscription.objects.get(pk=pk).invalid_reason or ""
    assert reason.startswith("config.headers.X-Key: cannot be decrypted")
