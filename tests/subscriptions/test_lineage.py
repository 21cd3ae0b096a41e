"""Chains of events, runs and writes know where they come from, and end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from jobs import Context, dispatch, step, workflow
from jobs.models import Run
from subscriptions.deliveries import delivery
from subscriptions.models import Delivery, Event
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.jobs.conftest import Post
from tests.subscriptions.conftest import Messages, Sql

pytestmark = pytest.mark.django_db(transaction=True)


def execute(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


@step(name="lineage-plain")
def plain(ctx: Context, number: int) -> int:
    execute("UPDATE orders SET status = status || 'a' WHERE id = %s", number)
    execute("UPDATE orders SET status = status || 'b' WHERE id = %s", number)
    return number


@step(name="lineage-blocks")
def blocks(ctx: Context, number: int) -> int:
    for letter in "cd":
        with transaction.atomic():
            execute("UPDATE orders SET status = status || %s WHERE id = %s", letter, number)
            execute("UPDATE orders SET status = status || %s WHERE id = %s", letter, number)
    return number


@step(name="lineage-atomic", atomic=True)
def atomic(ctx: Context, number: int) -> int:
    execute("UPDATE orders SET status = status || 'e' WHERE id = %s", number)
    return number


@step(name="lineage-broken")
def broken(ctx: Context, number: int) -> int:
    execute("UPDATE orders SET status = status || 'f' WHERE id = %s", number)
    execute("SELECT 1 / 0")
    return number


@workflow(name="lineage/writing")
def writing(number: int) -> int:
    return atomic(blocks(plain(number)))


@workflow(name="lineage/failing")
def failing(number: int) -> int:
    return broken(number)


@workflow(name="lineage/again")
def again(number: int, status: str) -> int:
    return atomic(number)


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch, settings: Settings, messages: Messages) -> Post:
    """The wake-ups, which the test delivers; nothing goes to a broker."""
    settings.JOBS_IN_PLACE = timedelta(0)
    made = Post()
    monkeypatch.setattr(dispatch, "send", made.send)
    return made


@pytest.fixture
def order(orders: str, sql: Sql, subscribe: Callable[..., int]) -> int:
    """An order that was there before anybody subscribed."""
    sql("INSERT INTO orders VALUES (1, 'acme', '')")
    subscribe()
    return 1


@pytest.mark.parametrize("flow", [writing, failing], ids=["succeeds", "fails"])
def test_what_a_step_writes_tells_of_its_run_and_nothing_later_does(
    flow: Any, order: int, post: Post
) -> None:
    run = Run.objects.get(pk=flow.start(order, company="acme").pk)
    Run.objects.filter(pk=run.pk).update(correlation_id="from-afar", depth=4)

    post.deliver_all()
    execute("UPDATE orders SET status = 'later'")

    *told, later = Event.objects.order_by("seq").values_list("correlation_id", "depth")
    assert set(told) == {("from-afar", 5)}
    assert len(told) == (7 if flow is writing else 1)
    assert later == (None, 0)


def test_a_run_that_nothing_set_off_is_the_beginning_of_its_chain(order: int, post: Post) -> None:
    run = writing.start(order, company="acme")

    post.deliver_all()

    assert set(Event.objects.values_list("correlation_id", "depth")) == {(str(run.pk), 1)}


def test_a_workflow_that_sets_itself_off_is_ended_at_depth_ten(
    orders: str, sql: Sql, subscribe: Callable[..., int], post: Post, messages: Messages
) -> None:
    subscribe(
        handler_type="WORKFLOW",
        config='{"workflow": "lineage/again",'
        ' "input": {"number": "new.id", "status": "new.status"}}',
    )
    router = Router()

    sql("INSERT INTO orders VALUES (1, 'acme', '')")
    for _ in range(20):
        relay_all(router)
        delivery.deliver(messages.ids)
        post.deliver_all()

    first, *others = Event.objects.order_by("seq")
    assert [event.depth for event in others] == [2, 4, 6, 8, 10, 12]
    assert {event.correlation_id for event in others} == {str(first.event_id)}
    *made, last = Delivery.objects.order_by("id")
    assert {one.status for one in made} == {Delivery.Status.DELIVERED}
    assert (last.status, last.error) == (
        Delivery.Status.BLOCKED,
        "the chain of events is longer than 10",
    )
    assert Run.objects.count() == len(made) == 6
