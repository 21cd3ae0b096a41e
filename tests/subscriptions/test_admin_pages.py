"""The pages of one subscription: its state, the test, the secret, why, and the deliveries."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook

from subscriptions import secrets
from subscriptions.admin import events
from subscriptions.deliveries import delivery
from subscriptions.errors import SecretRefused
from subscriptions.models import Delivery, Event, Gate, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(client: Client, transactional_db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def hook(
    orders: str, subscribe: Callable[..., int], httpserver: HTTPServer, local_receivers: None
) -> int:
    """A subscription to a receiver that answers, with a header that is secret."""
    httpserver.expect_request("/hook").respond_with_data("answered so")
    config = {"url": httpserver.url_for("/hook"), "headers": {"X-Key": "very-secret"}}
    return subscribe(config=json.dumps(config))


def url(page: str, pk: int) -> str:
    return reverse(f"admin:subscriptions_subscription_{page}", args=[pk])


def text(answer: Any) -> str:
    """Return a page with its white space evened out."""
    return " ".join(answer.content.decode().split())


def test_the_page_shows_recent_deliveries_and_how_many_arrived(
    operator: Client, hook: int, sql: Sql, messages: Messages
) -> None:
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 3) n")
    relay_all(Router())
    delivery.deliver(messages.ids)
    sql("UPDATE event_system_delivery SET status = 'dead' WHERE id = %s", messages.ids[0])

    page = text(operator.get(url("change", hook)))

    assert "in the last 24 hours 66.7 % arrived (2 delivered, 1 failed)" in page
    assert all(f"/delivery/{pk}/change/" in page for pk in messages.ids)
    assert "very-secret" not in page


def test_each_recent_delivery_unfolds_its_request_response_and_timing(
    operator: Client, hook: int, sql: Sql, messages: Messages
) -> None:
    sql("INSERT INTO orders VALUES (7, 'acme', 'paid')")
    relay_all(Router())
    delivery.deliver(messages.ids)

    page = text(operator.get(url("change", hook))).partition("<details>")[2]

    assert "present configuration" in page
    assert "&quot;recordId&quot;: &quot;7&quot;" in page
    assert "HTTP 200" in page
    assert "answered so" in page
    assert "Try 1 of generation 1 began" in page
    assert "very-secret" not in page


def test_a_delivery_s_page_says_that_the_request_is_rebuilt(
    operator: Client, hook: int, sql: Sql, messages: Messages
) -> None:
    sql("INSERT INTO orders VALUES (7, 'acme', 'paid')")
    relay_all(Router())
    delivery.deliver(messages.ids)
    page = reverse("admin:subscriptions_delivery_change", args=messages.ids)

    assert "present configuration: what was sent then may have differed" in text(operator.get(page))


def test_events_are_found_by_whole_keys_among_the_newest(
    operator: Client, hook: int, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 5) n")
    monkeypatch.setattr(events, "MOST_LISTED", 3)
    listed = reverse("admin:subscriptions_event_changelist")
    oldest = Event.objects.earliest("seq")

    def rows(**query: str) -> tuple[int, bool]:
        answer = operator.get(listed, query)
        return len(answer.context["cl"].result_list), "Looked at the newest" in text(answer)

    assert rows() == (5, False)
    assert rows(q="acme") == (3, True)
    assert rows(q="ACME") == (0, True)
    assert rows(operation__exact="INSERT") == (3, True)
    assert rows(q=str(oldest.event_id)) == (1, False)


@pytest.mark.parametrize(
    "name", ["subscriptions_event", "subscriptions_delivery", "jobs_wait", "jobs_action"]
)
def test_searches_compare_whole_keys_as_the_indexes_hold_them(
    operator: Client, hook: int, name: str, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(30) as queries:
        operator.get(reverse(f"admin:{name}_changelist"), {"q": "acme"})

    assert "UPPER" not in " ".join(query["sql"] for query in queries.captured_queries)


def test_the_list_shows_states_and_how_many_arrived(
    operator: Client, hook: int, sql: Sql, messages: Messages
) -> None:
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 3) n")
    relay_all(Router())
    delivery.deliver(messages.ids)
    sql("UPDATE event_system_delivery SET status = 'dead' WHERE id = %s", messages.ids[0])
    address = reverse("admin:subscriptions_subscription_changelist")

    active = text(operator.get(address))
    sql(
        "INSERT INTO event_system_gate (subscription_id, open_until) VALUES (%s, now())"
        " ON CONFLICT (subscription_id) DO UPDATE SET open_until = now()",
        hook,
    )
    broken = text(operator.get(address))

    assert "66.7 %" in active
    assert ">active<" in active
    assert ">breaker open<" in broken


def test_the_page_says_what_keeps_deliveries_back(operator: Client, hook: int, sql: Sql) -> None:
    sql(
        "UPDATE event_system_subscription SET active = false, paused_at = now(),"
        " disabled_reason = 'five days of failure'"
    )
    sql("UPDATE event_system_subscription SET invalid_reason = 'config.url: gone'")
    sql(
        "INSERT INTO event_system_gate (subscription_id, failures, open_until)"
        " VALUES (%s, 10, now() + interval '1 hour')",
        hook,
    )
    assert Gate.objects.exists()

    page = text(operator.get(url("change", hook)))

    for notice in (
        "Switched off by the platform: five days of failure",
        "Paused since",
        "config.url: gone",
        "The breaker is open: 10 failures in a row",
    ):
        assert notice in page, notice


def test_the_test_button_sends_the_newest_match_and_records_nothing(
    operator: Client, hook: int, sql: Sql, httpserver: HTTPServer
) -> None:
    sql("INSERT INTO orders VALUES (1, 'acme', 'older'), (2, 'acme', 'newest')")

    asked = text(operator.get(url("test", hook)))
    assert httpserver.log == []
    answer = text(operator.post(url("test", hook)))

    [(request, _)] = httpserver.log
    assert request.json["new"]["status"] == "newest"
    assert request.headers["X-Key"] == "very-secret"
    secret = Subscription.objects.get().secret
    Webhook(secret or "").verify(request.data, dict(request.headers))
    assert "Delivered: HTTP 200" in answer
    assert "answered so" in answer
    for page in (asked, answer):
        assert "x-key: •••" in page
        assert "newest" in page
        assert "very-secret" not in page
    assert not Delivery.objects.exists()
    assert LogEntry.objects.get().change_message == "Sent an example event."


def test_without_a_past_event_the_example_is_made_up_and_fits_the_filter(
    operator: Client, hook: int, sql: Sql, httpserver: HTTPServer
) -> None:
    sql('UPDATE event_system_subscription SET filter = \'{"status": "paid"}\'')

    answer = text(operator.post(url("test", hook)))

    [(request, _)] = httpserver.log
    assert request.json["new"] == {"id": 1, "company": "acme", "status": "paid"}
    assert (request.json["operation"], request.json["recordId"]) == ("INSERT", "1")
    assert "the example is made up" in answer


def test_the_test_button_keeps_to_the_worker_s_network_rules(
    operator: Client, hook: int, settings: Any, httpserver: HTTPServer
) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []

    answer = text(operator.post(url("test", hook)))

    assert "Failed" in answer
    assert "not a public address" in answer
    assert httpserver.log == []


def test_a_secret_is_revealed_once_and_then_only_rotated(operator: Client, hook: int) -> None:
    page = url("secret", hook)
    assert "whsec_" not in text(operator.get(page))

    first = operator.post(page, {"do": "reveal"})
    again = operator.post(page, {"do": "reveal"})

    revealed = Subscription.objects.get().secret
    assert revealed is not None
    assert revealed in first.content.decode()
    assert "no-store" in first.headers["Cache-Control"]
    assert revealed not in again.content.decode()
    assert "not shown again: rotate it" in text(again)

    rotated = operator.post(page, {"do": "rotate"})

    kept = Subscription.objects.get()
    assert kept.secret is not None
    assert kept.secret in rotated.content.decode()
    assert revealed not in rotated.content.decode()
    assert kept.previous_secret == revealed
    assert kept.previous_secret_until is not None
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        "Revealed the signing secret.",
        "Rotated the signing secret.",
    ]


def test_a_type_without_secret_has_none_to_show(orders: str, subscribe: Callable[..., int]) -> None:
    pk = subscribe(handler_type="WORKFLOW", config='{"workflow": "restock/create"}')

    with pytest.raises(SecretRefused, match="WORKFLOW signs nothing"):
        secrets.rotate(pk)


def test_why_shows_every_reason_of_an_event(operator: Client, hook: int, sql: Sql) -> None:
    sql('UPDATE event_system_subscription SET filter = \'{"status": "paid"}\'')
    sql("INSERT INTO orders VALUES (1, 'acme', 'open')")
    event = Event.objects.get()

    page = text(operator.get(url("why", hook), {"event": str(event.event_id)}))
    unknown = text(operator.get(url("why", hook), {"event": str(event.event_id)[:-4] + "0000"}))
    odd = text(operator.get(url("why", hook), {"event": "seven"}))

    assert "It does not match." in page
    assert "filter status" in page
    assert "[&quot;INSERT&quot;, &quot;UPDATE&quot;, &quot;DELETE&quot;]" in page
    assert "there is no event" in unknown
    assert "id is a UUID" in odd


def test_a_delivery_s_page_shows_its_request_and_answer_without_secrets(
    operator: Client, hook: int, sql: Sql, messages: Messages
) -> None:
    sql("INSERT INTO orders VALUES (1, 'acme', 'sent-so')")
    relay_all(Router())
    delivery.deliver(messages.ids)

    page = text(operator.get(reverse("admin:subscriptions_delivery_change", args=messages.ids)))

    assert "POST http://" in page
    assert "x-key: •••" in page
    assert "sent-so" in page
    assert "answered so" in page
    assert "very-secret" not in page


def test_who_may_only_look_cannot_test_or_see_the_secret(
    client: Client, hook: int, httpserver: HTTPServer
) -> None:

    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_subscription"))
    client.force_login(viewer)

    for page in ("test", "secret"):
        for answer in (client.get(url(page, hook)), client.post(url(page, hook), {"do": "reveal"})):
            assert answer.status_code == 403
    assert client.get(url("why", hook)).status_code == 200
    assert httpserver.log == []
