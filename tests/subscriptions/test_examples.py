"""Examples for the test button: made up where nothing has happened yet, and sent for real."""

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from jobs import dispatch
from jobs.models import Run
from subscriptions import contracts, event, examples
from subscriptions.models import Delivery, Subscription
from subscriptions.samples import sample_of_schema
from tests.subscriptions.conftest import Sql

pytestmark = pytest.mark.django_db(transaction=True)


class Line(BaseModel):
    sku: str
    count: int = Field(ge=3)


class ExampleOrdered(BaseModel):
    order_id: str
    lines: list[Line]
    paid: bool
    channel: Literal["web", "shop"]
    note: str | None = None


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> str:
    """A declared type that only this test knows."""
    monkeypatch.setattr(contracts, "_types", dict(contracts._types))
    monkeypatch.setattr(contracts, "_by_model", dict(contracts._by_model))
    event("example.ordered")(ExampleOrdered)
    return "example.ordered"


def made_up(**fields: Any) -> Any:
    chosen = examples.example(Subscription(company="acme", handler_type="WEBHOOK", **fields))
    assert chosen.is_real is False
    return chosen.event


@pytest.mark.parametrize("wanted", ["example.ordered", "example.*"])
def test_a_typed_example_is_one_that_the_type_takes(wanted: str, ordered: str) -> None:
    shown = made_up(event_type=wanted, filter={"channel": "shop"})

    payload = ExampleOrdered.model_validate(shown.payload)
    assert (shown.type, payload.channel, payload.lines[0].count) == (ordered, "shop", 3)
    assert json.loads(shown.body())["type"] == ordered


def test_an_example_row_has_the_table_s_columns_key_and_company(
    make_table: Callable[..., None], sql: Sql
) -> None:
    make_table(
        "example_line",
        "order_id int, line int, tenant text, at timestamptz, price numeric, tags text[],"
        " doc jsonb, secret_note text, PRIMARY KEY (order_id, line)",
    )
    sql("SELECT attach_event_trigger('example_line', company => 'tenant',"
        " exclude => ARRAY['secret_note'])")  # fmt: skip

    shown = made_up(table="example_line", operations=["DELETE"])

    assert shown.new is None
    assert set(shown.old) == {"order_id", "line", "tenant", "at", "price", "tags", "doc"}
    assert shown.old["tenant"] == "acme"
    assert shown.record_id == {"order_id": 1, "line": 1}


def test_a_schema_that_refers_to_itself_ends() -> None:
    class Node(BaseModel):
        name: str
        child: "Node | None"

    found = sample_of_schema(Node.model_json_schema())

    assert found["name"] == "example"


def test_a_test_of_a_workflow_starts_a_run_each_time(
    make_table: Callable[..., None],
    sql: Sql,
    subscribe: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatch, "send", list)  # nobody works here
    make_table("stock_request", "id int PRIMARY KEY, company text, supplier_id text, items jsonb")
    sql("SELECT attach_event_trigger('stock_request')")
    config = {"workflow": "restock/create", "input": {"supplier_id": "new.supplier_id",
              "items": "new.items"}}  # fmt: skip
    subscribe(table="stock_request", handler_type="WORKFLOW", config=json.dumps(config))
    items = [{"product_id": "p1", "quantity": 2, "unit_cost": 150}]
    sql("INSERT INTO stock_request VALUES (1, 'acme', 's1', %s)", json.dumps(items))

    first = examples.send(Subscription.objects.get())
    second = examples.send(Subscription.objects.get())

    assert first.outcome.is_delivered, first.outcome.error
    assert first.example.is_real
    assert first.preview.title == "Start a run of the workflow restock/create"
    runs = Run.objects.filter(company="acme")
    assert {str(run.pk) for run in runs} == {first.outcome.response, second.outcome.response}
    assert runs.count() == 2
    assert not Delivery.objects.exists()
