"""What mypy sees inside a workflow: the real types. `assert_type` holds what is right; an ignore
that no error needs would itself be one, so the ignores below prove what is wrong.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any, assert_type

import pytest
from pydantic import BaseModel

from jobs import Context, Done, each, parallel, step, transform, wait_for, when, workflow
from jobs.errors import DefinitionError
from jobs.ports import RunHandle

pytestmark = pytest.mark.usefixtures("forget_definitions")


class Order(BaseModel):
    id: int
    total: Decimal
    names: list[str]


@step(name="typ-create")
def create(ctx: Context, order: Order) -> Done[int]:
    return Done(order.id, undo="x")


@step(name="typ-name")
def name_of(ctx: Context, name: str, number: int, *, loud: bool = False) -> bool:
    return loud


def halve(total: Decimal, by: int) -> Decimal:
    return total / by


@workflow(name="typ/all")
def everything(order: Order) -> bool:
    assert_type(create(order), int)
    assert_type(create.options(name="x")(order), int)
    assert_type(order.names[0], str)
    assert_type(each(order.names, name_of, 3), list[bool])
    assert_type(transform(halve, order.total, 2), Decimal)
    assert_type(transform(lambda total: int(total) > 1, order.total), bool)
    assert_type(parallel(create(order), lambda: name_of("a", 1)), tuple[int, bool])
    assert_type(wait_for("a.b", timeout=timedelta(1)), dict[str, Any] | None)
    with when(order.total, lambda total: total.is_zero()):
        inner = name_of("a", 1, loud=True)
    assert_type(inner, bool)
    return name_of("b", 2)


@workflow(name="typ/parent")
def parent(order: Order, number: int) -> list[bool]:
    assert_type(everything(order), bool)
    assert_type(everything.options(queue="orders")(order), bool)
    return each([order, order], everything)


def started() -> None:
    order = Order(id=1, total=Decimal(2), names=[])
    assert_type(everything.start(order, company="acme"), RunHandle[bool])
    assert_type(parent.start(order, 3, company=None, delay=timedelta(1)), RunHandle[list[bool]])
    assert_type(everything.start_many([order], company="acme"), list[RunHandle[bool]])
    assert_type(parent.start_many([(order, 3)], company="acme"), list[RunHandle[list[bool]]])
    run = everything.start(order, company="acme")
    run.send("order.touched", {"id": 1})
    assert_type(run.cancel(reason="twice"), bool)
    assert_type(run.retry(reason="mended").result(timeout=1), bool)
    assert_type(run.fork(from_step="typ-name", reason="again"), RunHandle[bool])
    everything.start("order", company="acme")  # type: ignore[arg-type]
    everything.start(order, order, company="acme")  # type: ignore[misc, arg-type]
    everything.start(order)  # type: ignore[call-arg]
    everything.start_many(["order"], company="acme")  # type: ignore[list-item]


def wrong_step(order: Order) -> int:
    return create("order")  # type: ignore[arg-type]


def wrong_child(order: Order) -> bool:
    return everything(order, order)  # type: ignore[call-arg]


def wrong_item(order: Order) -> list[bool]:
    return each([1, 2], name_of, 3)  # type: ignore[arg-type]


def wrong_extra(order: Order) -> list[bool]:
    return each(order.names, name_of, "x")  # type: ignore[arg-type]


def wrong_predicate(order: Order) -> bool:
    with when(order.total, len):  # type: ignore[arg-type]
        return everything(order)


def wrong_value(order: Order) -> Decimal:
    return transform(halve, "x", 2)  # type: ignore[arg-type]


def wrong_result(order: Order) -> int:
    return transform(halve, order.total, 2)  # type: ignore[return-value]


@pytest.mark.parametrize("fn", [wrong_step, wrong_child, wrong_item, wrong_extra])
def test_what_mypy_refuses_is_refused_at_import_too(fn: Any) -> None:
    with pytest.raises(DefinitionError):
        workflow(name="typ/wrong")(fn)


def test_the_typed_workflows_were_read() -> None:
    assert len(everything.plan.nodes) == 11
    assert parent.plan.node("typ/all#3").extra["body"] == "child"
