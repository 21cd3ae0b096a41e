"""WORKFLOW: an event starts a run of the engine."""

import json
from collections.abc import Callable

import pytest

from jobs.models import Run
from subscriptions.deliveries import delivery
from subscriptions.models import Delivery, DeliveryAttempt
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql

pytestmark = pytest.mark.django_db(transaction=True)

ITEMS = [{"product_id": "p1", "quantity": 2, "unit_cost": 150}]


@pytest.fixture
def requests(make_table: Callable[..., None], sql: Sql) -> str:
    make_table(
        "stock_request",
        "id int PRIMARY KEY, company text, supplier_id text, items jsonb, meta jsonb, notes text",
    )
    sql("SELECT attach_event_trigger('stock_request')")
    return "stock_request"


@pytest.fixture
def write(requests: str, sql: Sql, messages: Messages) -> Callable[..., list[int]]:
    """Write one request by SQL and relay it; return the deliveries' ids."""

    def run(items: object = ITEMS, supplier: str = "s1") -> list[int]:
        sql(
            "INSERT INTO stock_request VALUES (1, 'acme', %s, %s, '{}')",
            supplier,
            json.dumps(items),
        )
        relay_all(Router())
        return messages.ids

    return run


def test_a_row_starts_a_run_with_the_new_row_as_input(
    subscribe: Callable[..., int], requests: str, write: Callable[..., list[int]]
) -> None:
    subscribe(table=requests, handler_type="WORKFLOW", config='{"workflow": "restock/create"}')

    assert delivery.deliver(write()) == 1

    run = Run.objects.get()
    found = Delivery.objects.get()
    assert (run.workflow, run.company, run.depth) == ("restock/create", "acme", 1)
    assert run.correlation_id == str(found.event_uuid)
    assert run.input["order"]["items"] == ITEMS
    assert found.status == Delivery.Status.DELIVERED
    assert DeliveryAttempt.objects.get().response == str(run.pk)


def test_a_mapping_picks_the_input_by_dotted_paths(
    subscribe: Callable[..., int], requests: str, write: Callable[..., list[int]]
) -> None:
    mapping = {"supplier_id": "new.supplier_id", "items": "new.items", "notes": "operation"}
    subscribe(
        table=requests,
        handler_type="WORKFLOW",
        config=json.dumps({"workflow": "restock/create", "input": mapping}),
    )

    delivery.deliver(write())

    assert Run.objects.get().input == {
        "order": {"supplier_id": "s1", "items": ITEMS, "notes": "INSERT"}
    }


def test_a_delivery_made_twice_starts_one_run(
    subscribe: Callable[..., int], requests: str, write: Callable[..., list[int]]
) -> None:
    subscribe(table=requests, handler_type="WORKFLOW", config='{"workflow": "restock/create"}')
    ids = write()
    delivery.deliver(ids)
    Delivery.objects.update(status=Delivery.Status.PENDING)  # as after a lost outcome

    assert delivery.deliver(ids) == 1

    assert Run.objects.count() == 1
    assert DeliveryAttempt.objects.count() == 2


def test_two_subscriptions_of_an_event_start_a_run_each(
    subscribe: Callable[..., int], requests: str, write: Callable[..., list[int]]
) -> None:
    for name in ("one", "two"):
        subscribe(
            table=requests,
            name=name,
            handler_type="WORKFLOW",
            config='{"workflow": "restock/create"}',
        )

    assert delivery.deliver(write()) == 2

    assert Run.objects.count() == 2


def test_an_input_that_does_not_fit_is_dead_at_once(
    subscribe: Callable[..., int], requests: str, write: Callable[..., list[int]]
) -> None:
    subscribe(table=requests, handler_type="WORKFLOW", config='{"workflow": "restock/create"}')

    delivery.deliver(write(items=[]))

    found = Delivery.objects.get()
    assert (found.status, found.attempts) == (Delivery.Status.DEAD, 1)
    assert found.error.startswith("InvalidInput: ")
    assert not Run.objects.exists()


def test_a_workflow_that_is_not_deployed_yet_is_tried_again(
    subscribe: Callable[..., int], requests: str, write: Callable[..., list[int]]
) -> None:
    subscribe(table=requests, handler_type="WORKFLOW", config='{"workflow": "not/yet"}')

    delivery.deliver(write())

    assert Delivery.objects.get().status == Delivery.Status.RETRYING


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ("1e5000", "ValueError: the number 1.000e+5000 is too large"),
        ("[" * 3000 + "]" * 3000, "RecursionError: "),
        ('"\\u0000"', ""),
    ],
    ids=["long", "deep", "nul"],
)
def test_an_event_that_is_no_input_fails_alone(
    odd: str,
    message: str,
    make_table: Callable[..., None],
    subscribe: Callable[..., int],
    sql: Sql,
    messages: Messages,
) -> None:
    make_table("requests", "id int PRIMARY KEY, company text, items json, meta json")
    sql("SELECT attach_event_trigger('requests', company => 'company')")
    mapping = {"supplier_id": "company", "items": "new.items", "notes": "new.meta"}
    config = json.dumps({"workflow": "restock/create", "input": mapping})
    for company in ("odd", "acme"):
        subscribe(company, "requests", handler_type="WORKFLOW", config=config)
    sql("INSERT INTO requests VALUES (1, 'odd', %s, %s)", json.dumps(ITEMS), odd)
    sql("INSERT INTO requests VALUES (2, 'acme', %s, %s)", json.dumps(ITEMS), '"fine"')
    relay_all(Router())

    assert delivery.deliver(messages.ids) == 1

    found = {d.company: d for d in Delivery.objects.all()}
    assert {company: d.status for company, d in found.items()} == {
        "odd": Delivery.Status.DEAD,
        "acme": Delivery.Status.DELIVERED,
    }
    assert found["odd"].error.startswith(message)
