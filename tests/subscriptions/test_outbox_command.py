"""`manage.py outbox` and `manage.py trace`."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from subscriptions import backlog, cursor
from subscriptions.deliveries import delivery
from subscriptions.models import Delivery, Event, RelayCursor
from subscriptions.relay import relay_all, relay_once
from subscriptions.routing import Router
from subscriptions.shards import Share
from tests.subscriptions.conftest import Messages, Sql, connect

pytestmark = pytest.mark.django_db(transaction=True)


def shown(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


def write(sql: Sql, count: int, *, first: int = 1) -> None:
    sql(
        "INSERT INTO orders SELECT n, 'company-' || n %% 7, 'x'"
        " FROM generate_series(%s::int, %s::int) AS n",
        first,
        first + count - 1,
    )


@pytest.fixture
def router(orders: str, subscribe: Callable[..., int], messages: Messages) -> Router:
    subscribe(None)
    return Router()


def test_without_a_cursor_everything_is_unread(router: Router, sql: Sql) -> None:
    write(sql, 12)

    found = backlog.measure()

    assert found.unread == 12
    assert found.lag > timedelta()
    assert found.oldest_at == Event.objects.earliest("seq").recorded_at
    assert [event.seq for event in backlog.coming()] == list(
        Event.objects.order_by("seq").values_list("seq", flat=True)[:10]
    )
    assert "none: start manage.py relay" in shown("outbox")
    assert not RelayCursor.objects.exists()


def test_in_the_midst_of_a_page_the_rest_is_unread_and_next(router: Router, sql: Sql) -> None:
    relay_all(router)
    with connect() as slow, slow.transaction():
        slow.execute("INSERT INTO orders VALUES (1000, 'acme', 'commits last, is lowest')")
        write(sql, 5)
        relay_once(router, limit=2)
    write(sql, 2, first=101)

    assert backlog.measure().unread == 6
    coming = [event.record_id for event in backlog.coming()]
    assert coming == ["3", "4", "5", "1000", "101", "102"]
    before = RelayCursor.objects.values().get()
    assert "unread: 6, the oldest of" in shown("outbox")
    assert RelayCursor.objects.values().get() == before
    assert relay_all(router).events == 6
    assert backlog.measure().unread == 0
    assert "unread: 0" in shown("outbox")


def test_each_shard_counts_its_own_and_not_what_was_read_before(router: Router, sql: Sql) -> None:
    write(sql, 20)
    relay_once(router, share=Share(1, 2))
    with transaction.atomic():
        cursor.hold(Share(0, 3))

    found = backlog.measure()

    unread = Event.objects.count() - Delivery.objects.count()
    assert 0 < unread < 20
    assert found.unread == unread == len(backlog.coming(100))
    assert [(one.share, one.is_led) for one in found.readers] == [
        (Share(n, 3), False) for n in range(3)
    ]


def test_partitions_and_rows_in_default_are_shown(router: Router, sql: Sql) -> None:
    write(sql, 1)
    assert set(backlog.measure().in_default.values()) == {0}
    sql(
        "INSERT INTO event_system_event (source, type, recorded_at) VALUES ('t', 't', '2001-01-01')"
    )

    assert backlog.measure().in_default["event_system_event"] == 1
    [line] = [line for line in shown("outbox").splitlines() if "event_system_event " in line]
    assert line.split("│")[3].strip() == "1"
    sql("DELETE FROM event_system_event_default")


def test_an_event_is_traced_to_its_deliveries_and_to_what_keeps_it_from_others(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages
) -> None:
    subscribe(config='{"url": "http://127.0.0.1:9/"}')  # refused without dialling
    subscribe(name="open only", filter='{"status": "open"}')
    gone = subscribe(name="gone")
    sql("INSERT INTO orders VALUES (1, 'acme', '[red]paid[/red]')")
    relay_all(Router())
    delivery.deliver(messages.ids)
    sql("DELETE FROM event_system_subscription WHERE id = %s", gone)
    event = Event.objects.get()
    sql("SET counterpoint.correlation_id = %s".replace("%s", f"'{event.event_id}'"))
    sql("SET counterpoint.depth = '1'")
    sql("INSERT INTO orders VALUES (2, 'acme', 'x')")

    text = shown("trace", str(event.event_id))

    assert f'orders INSERT "1" {event.event_id}, acme' in text
    assert "all (acme) WEBHOOK: matches" in text
    assert "open only (acme) WEBHOOK: does not match" in text
    assert "filter status: wants open, found [red]paid[/red]" in text
    assert "a subscription that was deleted since" in text
    found = Delivery.objects.get(subscription__name="all")
    assert f"delivery {found.pk}: {found.status}, attempts 1" in text
    assert "attempt 1 of generation 1: failed" in text
    assert "events that came of it: 1" in text
    assert 'orders INSERT "2"' in text


def test_a_run_that_an_event_started_is_shown(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages
) -> None:
    items = '{"items": [{"product_id": "p", "quantity": 1, "unit_cost": 1}], "supplier_id": "s"}'
    sql("ALTER TABLE orders ADD items jsonb, ADD supplier_id text, ADD notes text, ADD meta jsonb")
    subscribe(handler_type="WORKFLOW", config='{"workflow": "restock/create"}')
    sql("INSERT INTO orders VALUES (1, 'acme', 'x', %s, 's')", items)
    relay_all(Router())
    delivery.deliver(messages.ids)

    text = shown("trace", str(Event.objects.get().event_id))

    run = Delivery.objects.get()
    assert "of restock/create: " in text, (run.status, run.error)


def test_an_unknown_event_is_said_in_one_line() -> None:
    with pytest.raises(CommandError, match="there is no event"):
        call_command("trace", str(uuid4()))
    with pytest.raises(CommandError, match="'x' is no UUID"):
        call_command("trace", "x")
