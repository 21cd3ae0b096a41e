"""Pause, resume and replay from the admin: counted first, reported, and written into the log."""

from collections.abc import Callable

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from subscriptions.deliveries import sweeping
from subscriptions.models import Delivery, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql
from tests.subscriptions.test_admin_pages import text, url

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operator(client: Client, transactional_db: None) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def failed(orders: str, subscribe: Callable[..., int], sql: Sql, messages: Messages) -> int:
    """A subscription with three deliveries: two are dead, one was delivered."""
    pk = subscribe()
    sql("INSERT INTO orders SELECT n, 'acme', 'row-' || n FROM generate_series(1, 3) n")
    relay_all(Router())
    sql("UPDATE event_system_delivery SET status = 'dead', finished_at = now()")
    sql(
        "UPDATE event_system_delivery SET status = 'delivered'"
        " WHERE id = (SELECT max(id) FROM event_system_delivery)"
    )
    return pk


def statuses() -> list[str]:
    return list(Delivery.objects.order_by("pk").values_list("status", flat=True))


def logged() -> list[str]:
    return [entry.change_message for entry in LogEntry.objects.order_by("pk")]


def test_pause_holds_and_resume_lets_go_and_says_how_many(
    operator: Client, orders: str, subscribe: Callable[..., int], sql: Sql, messages: Messages
) -> None:
    pk = subscribe()
    operator.post(url("pause", pk))
    assert Subscription.objects.get().paused_at is not None
    sql("INSERT INTO orders VALUES (1, 'acme', 'x'), (2, 'acme', 'y')")
    relay_all(Router())

    asked = text(operator.get(url("resume", pk)))
    done = text(operator.post(url("resume", pk), follow=True))
    sweeping.tend()

    assert "2 held deliveries are sent" in asked
    assert "Resumed: 2 deliveries let go." in done
    assert statuses() == ["pending", "pending"]
    assert logged() == [
        "Paused: deliveries are held, for 30 days at most.",
        "Resumed: 2 deliveries let go.",
    ]


def test_a_pause_is_not_a_link(operator: Client, failed: int) -> None:
    assert operator.get(url("pause", failed)).status_code == 405
    assert Subscription.objects.get().paused_at is None


def test_a_replay_is_counted_first_and_then_sends_what_failed(
    operator: Client, failed: int
) -> None:
    counted = text(operator.post(url("replay", failed), {}))
    assert "2 deliveries would be sent again" in counted
    assert statuses() == ["dead", "dead", "delivered"]

    done = text(operator.post(url("replay", failed), {"do": "replay"}, follow=True))

    assert "Replayed: 2 deliveries sent again." in done
    assert statuses() == ["pending", "pending", "delivered"]
    assert logged() == ["Replayed: 2 deliveries sent again."]


def test_the_second_form_repeats_what_was_asked_for(operator: Client, failed: int) -> None:
    first = Delivery.objects.order_by("pk")[0].pk
    asked = {"delivery_ids": str(first), "filter": '{"status": "row-1"}', "again": "on"}

    page = text(operator.post(url("replay", failed), asked))

    assert "1 delivery would be sent again" in page
    assert f'<input type="hidden" name="delivery_ids" value="{first}"' in page
    assert 'type="hidden" name="filter" value="{&quot;status&quot;: &quot;row-1&quot;}"' in page
    assert 'type="hidden" name="again" value="True"' in page


def test_what_cannot_be_replayed_is_said_with_its_reason(operator: Client, failed: int) -> None:
    missed = text(operator.post(url("replay", failed), {"missed": "on"}))
    odd = text(operator.post(url("replay", failed), {"delivery_ids": "seven"}))

    assert "since: a replay of missed events says from when on" in missed
    assert "Give numbers of deliveries" in odd
    assert statuses() == ["dead", "dead", "delivered"]


def test_chosen_deliveries_of_one_subscription_go_to_its_replay(
    operator: Client, failed: int
) -> None:
    chosen = list(Delivery.objects.order_by("pk").values_list("pk", flat=True)[:2])

    answer = operator.post(
        reverse("admin:subscriptions_delivery_changelist"),
        {"action": "replay_deliveries", "_selected_action": chosen},
        follow=True,
    )

    assert f'value="{chosen[1]},{chosen[0]}"' in text(answer)


def test_deliveries_of_several_subscriptions_are_not_replayed_together(
    operator: Client, failed: int, subscribe: Callable[..., int], sql: Sql, messages: Messages
) -> None:
    subscribe(name="another")
    sql("INSERT INTO orders VALUES (9, 'acme', 'z')")
    relay_all(Router())

    answer = operator.post(
        reverse("admin:subscriptions_delivery_changelist"),
        {
            "action": "replay_deliveries",
            "_selected_action": list(Delivery.objects.values_list("pk", flat=True)),
        },
        follow=True,
    )

    assert "Choose deliveries of one subscription" in text(answer)
