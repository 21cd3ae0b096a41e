"""A beginning and what came of it, as one tree, in code and in the admin."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.urls import reverse
from pydantic import BaseModel

from jobs import Context, step, workflow
from jobs.models import Membership, Run
from subscriptions import contracts
from subscriptions.chains import Node, chain_of
from subscriptions.contracts import event
from subscriptions.deliveries import delivery
from subscriptions.models import Event, Subscription
from subscriptions.outbox import publish
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from subscriptions.services import create_subscription, delete_subscription_by_name
from tests.jobs.conftest import Post
from tests.subscriptions.conftest import Messages, Sql
from tests.subscriptions.test_lineage import post

__all__ = ["post"]
pytestmark = pytest.mark.django_db(transaction=True)


class Asked(BaseModel):
    number: int


class Answered(BaseModel):
    number: int


@pytest.fixture(autouse=True)
def types() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contracts, "_types", dict(contracts._types))
        event("chain.asked")(Asked)
        event("chain.answered")(Answered)
        yield


@step(name="chain-answer")
def answer(ctx: Context, asked: Asked) -> int:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (%s, 'acme', 'answered')", [asked.number])
    ctx.publish("chain.answered", {"number": asked.number})
    return asked.number


@workflow(name="chain/answer")
def answering(asked: Asked) -> int:
    return answer(asked)


def subscribe(name: str, event_type: str, handler_type: str, **config: Any) -> Subscription:
    return create_subscription(
        name=name, company="acme", event_type=event_type, handler_type=handler_type, config=config
    )


@pytest.fixture
def beginning(orders: str, sql: Sql, post: Post, messages: Messages) -> Event:
    """An event that starts a run, which publishes an event and writes a row that are told on."""
    subscribe("answers", "chain.asked", "WORKFLOW", workflow="chain/answer")
    subscribe("tell", "chain.answered", "WEBHOOK", url="https://93.184.216.34/hook")
    create_subscription(
        name="rows",
        company="acme",
        table="orders",
        handler_type="WEBHOOK",
        config={"url": "https://93.184.216.34/hook"},
    )
    router = Router()
    publish(Asked(number=7), company="acme")
    relay_all(router)
    delivery.deliver(messages.ids)
    post.deliver_all()
    relay_all(router)
    return Event.objects.order_by("seq")[0]


def outline(node: Node) -> Any:
    """Return what a node is, and the outlines of what hangs below it."""
    if node.event is not None:
        name = node.event.type or f"{node.event.table} {node.event.operation}"
    elif node.run is not None:
        name = f"run {node.run.workflow}"
    else:
        name = f"to {node.subscription.name if node.subscription else None}"
    return (name, [outline(child) for child in node.children])


TREE: Any = (
    "chain.asked",
    [
        (
            "to answers",
            [
                (
                    "run chain/answer",
                    [
                        ("orders INSERT", [("to rows", [])]),
                        ("chain.answered", [("to tell", [])]),
                    ],
                )
            ],
        )
    ],
)


def test_events_deliveries_and_runs_hang_below_what_they_came_of(beginning: Event) -> None:
    chain = chain_of(str(beginning.event_id), since=beginning.recorded_at)

    assert chain.is_whole
    assert [outline(root) for root in chain.roots] == [TREE]


def test_from_any_event_of_it_the_tree_is_the_same(beginning: Event) -> None:
    last = Event.objects.order_by("seq").last()
    assert last is not None
    assert last.correlation_id == str(beginning.event_id)

    chain = chain_of(str(last.correlation_id), since=last.recorded_at)

    assert [outline(root) for root in chain.roots] == [TREE]


def test_an_event_of_a_run_says_which(beginning: Event) -> None:
    published = Event.objects.get(type="chain.answered")

    assert (published.source, published.source_id) == ("run", str(Run.objects.get().pk))


def test_a_run_that_code_started_is_a_beginning(orders: str, post: Post) -> None:
    run = answering.start(Asked(number=3), company="acme")
    post.deliver_all()
    told = Event.objects.get()

    [root] = chain_of(str(run.pk), since=told.recorded_at).roots

    assert outline(root) == ("run chain/answer", [("chain.answered", [])])


def test_a_deleted_subscriptions_delivery_is_still_shown(beginning: Event) -> None:
    delete_subscription_by_name("tell", company="acme")

    chain = chain_of(str(beginning.event_id), since=beginning.recorded_at)

    assert "('to None', [])" in str(outline(chain.roots[0]))


def test_another_company_sees_nothing_of_it(beginning: Event) -> None:
    chain = chain_of(str(beginning.event_id), since=beginning.recorded_at, company="globex")

    assert chain.roots == []


def test_a_company_sees_the_deliveries_to_its_own_subscriptions_alone(
    beginning: Event, messages: Messages
) -> None:
    create_subscription(
        name="platform's",
        company=None,
        event_type="chain.asked",
        handler_type="WEBHOOK",
        config={"url": "https://93.184.216.34/hook"},
    )
    told = publish(Asked(number=9), company="acme")
    relay_all(Router())

    everybody = chain_of(str(told), since=beginning.recorded_at)
    acme = chain_of(str(told), since=beginning.recorded_at, company="acme")

    assert [outline(root) for root in everybody.roots] == [
        ("chain.asked", [("to answers", []), ("to platform's", [])])
    ]
    assert [outline(root) for root in acme.roots] == [("chain.asked", [("to answers", [])])]


def test_a_correlation_of_the_producers_own_has_no_beginning(beginning: Event) -> None:
    publish(Asked(number=8), company="acme", correlation_id="their own")
    publish(Answered(number=8), company="acme", correlation_id="their own")

    chain = chain_of("their own", since=beginning.recorded_at)

    assert [outline(root)[0] for root in chain.roots] == ["chain.asked", "chain.answered"]


def test_the_admin_shows_the_tree_of_an_event(beginning: Event, client: Client) -> None:
    client.force_login(get_user_model().objects.create_superuser("root", "r@example.com", "x"))

    told = Event.objects.get(type="chain.answered")
    page = client.get(reverse("admin:subscriptions_event_chain", args=[told.pk]))

    assert page.status_code == 200
    html = page.content.decode()
    for text in (
        "chain.asked",
        "WORKFLOW: answers",
        "chain/answer",
        "orders INSERT",
        "WEBHOOK: tell",
    ):
        assert text in html
    assert html.index("chain.asked") < html.index("WORKFLOW: answers") < html.index("chain/answer")
    change = client.get(reverse("admin:subscriptions_event_change", args=[told.pk]))
    assert page.request["PATH_INFO"] in change.content.decode()


def test_staff_of_another_company_are_shown_nothing(beginning: Event, client: Client) -> None:
    stranger = get_user_model().objects.create_user("them", is_staff=True)
    stranger.user_permissions.set(Permission.objects.all())
    Membership.objects.create(user=stranger, company="globex")
    client.force_login(stranger)

    page = client.get(reverse("admin:subscriptions_event_chain", args=[beginning.pk]))

    assert page.status_code == 403
