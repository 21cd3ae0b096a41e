"""What each word of a workflow function becomes in the plan, and in the canvas."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from jobs import (
    Context,
    each,
    parallel,
    sleep,
    sleep_until,
    step,
    transform,
    wait_for,
    when,
    workflow,
)
from jobs.addresses import function
from jobs.errors import DefinitionError
from jobs.plan import Chain, Group, Kind, Node, Plan

pytestmark = pytest.mark.usefixtures("forget_definitions")


class Line(BaseModel):
    sku: str
    price: Decimal


class Order(BaseModel):
    id: int
    total: Decimal
    due: datetime
    lines: list[Line]


@step(name="cmp-fetch")
def fetch(ctx: Context, line: Line, currency: str = "SGD") -> int:
    return 1


@step(name="cmp-number")
def number(ctx: Context, value: int) -> int:
    return value


@step(name="cmp-perhaps")
def perhaps(ctx: Context, value: int | None) -> int:
    return value or 0


@step(name="cmp-all")
def all_of(ctx: Context, values: list[int]) -> int:
    return sum(values)


@step(name="cmp-some")
def some_of(ctx: Context, values: list[int | None]) -> int:
    return len(values)


@step(name="cmp-bold", on_failure="continue")
def bold(ctx: Context, value: int) -> int:
    return value


@workflow(name="cmp/child")
def child(value: int) -> str:
    return transform(str, number(value))


def is_large(total: Decimal) -> bool:
    return total > 100


def node(plan: Plan, name: str) -> Node:
    return plan.node(name)


def test_each_is_one_node_of_the_step_s_name() -> None:
    @workflow(name="cmp/each")
    def made(order: Order) -> list[int]:
        return each(order.lines, fetch, "USD", max_parallel=7)

    found = node(made.plan, "cmp-fetch")

    assert found.kind == Kind.EACH
    assert found.inputs == {
        "items": {"$input": "order", "path": ["lines"]},
        "currency": {"$value": "USD"},
    }
    assert found.extra == {
        "item": "line",
        "max_parallel": 7,
        "body": "step",
        "types": fetch.types,
    }


def test_each_takes_a_renamed_step_and_a_workflow_for_its_items() -> None:
    @workflow(name="cmp/each-both")
    def made(values: list[int]) -> list[str]:
        each(values, number.options(name="again", queue="bulk"))
        return each(values, child)

    assert (node(made.plan, "again").step, node(made.plan, "again").queue) == ("cmp-number", "bulk")
    assert node(made.plan, "cmp/child").extra["body"] == "child"


def test_each_takes_a_list_written_down() -> None:
    @workflow(name="cmp/each-list")
    def made(value: int) -> int:
        return all_of(each([1, value, 3], number))

    assert node(made.plan, "cmp-number").inputs["items"] == {
        "$list": [{"$value": 1}, {"$input": "value", "path": []}, {"$value": 3}]
    }


@dataclass
class Parcel:
    order: int
    note: str = ""


@step(name="cmp-parcel")
def send(ctx: Context, parcel: Parcel) -> Parcel:
    return parcel


def test_a_dataclass_may_hold_symbolic_values() -> None:
    @workflow(name="cmp/parcel")
    def made(order: Order) -> list[Parcel]:
        sent = send(Parcel(order.id, "x"))
        return [sent, Parcel(sent.order)]

    assert node(made.plan, "cmp-parcel").inputs == {
        "parcel": {"$dict": {"order": {"$input": "order", "path": ["id"]}, "note": {"$value": "x"}}}
    }
    assert made.plan.output["$list"][1]["$dict"]["order"] == {
        "$ref": "cmp-parcel",
        "path": ["order"],
    }


def test_when_guards_the_items_of_its_block() -> None:
    @workflow(name="cmp/when")
    def made(order: Order) -> int:
        with when(order.total, is_large):
            first = number(order.id)
            parallel(number(first), lambda: number(number(first)))
            with when(first, lambda value: value > 3):
                number(first)
        return number(order.id)

    guard, *guarded, last = made.plan.body.items

    assert guard == Node(
        "when-1",
        f"{__name__}:is_large",
        {"value": {"$input": "order", "path": ["total"]}},
        kind=Kind.WHEN,
        span=4,
    )
    assert [item.name for item in guarded] == ["cmp-number", "parallel-1", "when-2", "cmp-number#5"]
    assert isinstance(guarded[2], Node)
    assert guarded[2].span == 1
    assert last.name == "cmp-number#6"


def test_when_stands_in_a_branch() -> None:
    def branch(order: Order) -> None:
        with when(order.total, is_large):
            number(order.id)

    @workflow(name="cmp/when-branch")
    def made(order: Order) -> int:
        _, last = parallel(lambda: branch(order), number(order.id))
        return last

    (group,) = made.plan.body.items
    assert isinstance(group, Group)
    assert [item.name for item in group.branches[0].items] == ["when-1", "cmp-number#2"]


def test_a_guarded_value_may_be_used_inside_its_block_and_where_none_is_accepted() -> None:
    @workflow(name="cmp/guarded")
    def made(order: Order) -> int | None:
        with when(order.total, is_large):
            inner = number(order.id)
            number(inner)
        perhaps(inner)
        some_of([inner, 3])
        return inner

    assert made.plan.output == {"$ref": "cmp-number", "path": []}


def guarded_argument(order: Order) -> int:
    with when(order.total, is_large):
        inner = number(order.id)
    return number(inner)


def guarded_result(order: Order) -> int:
    with when(order.total, is_large):
        inner = number(order.id)
    number(1)
    return inner


def guarded_in_a_list(order: Order) -> int:
    with when(order.total, is_large):
        inner = number(order.id)
    return all_of([1, inner])


def guarded_items(order: Order) -> list[int]:
    with when(order.total, is_large):
        lines = transform(lambda value: [value], number(order.id))
    return each(lines, number)


def guarded_predicate(order: Order) -> int:
    with when(order.total, is_large):
        total = transform(lambda value: Decimal(value), number(order.id))
    with when(total, is_large):
        return number(order.id)


def guarded_elsewhere(order: Order) -> int:
    with when(order.total, is_large):
        inner = number(order.id)
    with when(order.total, is_large):
        number(inner)
    return number(order.id)


def of_a_bold_step(order: Order) -> int:
    return number(bold(order.id))


@pytest.mark.parametrize(
    "fn",
    [
        guarded_argument,
        guarded_result,
        guarded_in_a_list,
        guarded_items,
        guarded_predicate,
        guarded_elsewhere,
        of_a_bold_step,
    ],
)
def test_a_value_that_may_be_none_goes_only_where_none_is_accepted(fn: Any) -> None:
    with pytest.raises(DefinitionError, match="does not accept None") as caught:
        workflow(name="cmp/none")(fn)

    assert f"{__file__}:" in str(caught.value)


def test_a_guarded_call_cannot_leave_its_block_as_a_branch() -> None:
    def escaping(order: Order) -> int | None:
        with when(order.total, is_large):
            inner = number(order.id)
        return parallel(inner, number(order.id))[0]

    with pytest.raises(DefinitionError, match="no call made for this parallel"):
        workflow(name="cmp/escaping")(escaping)


def test_an_empty_when_is_refused() -> None:
    def empty(order: Order) -> int:
        with when(order.total, is_large):
            pass
        return number(order.id)

    with pytest.raises(DefinitionError, match="calls no step"):
        workflow(name="cmp/empty")(empty)


def test_transform_is_a_node_with_its_values_by_position() -> None:
    @workflow(name="cmp/transform")
    def made(order: Order) -> int:
        large = transform(is_large, order.total)
        number(large)
        return number(transform(lambda total, one: int(total) + one, order.total, 1))

    first, second = (node(made.plan, name) for name in ("is_large", "transform-1"))

    assert (first.kind, first.step) == (Kind.TRANSFORM, f"{__name__}:is_large")
    assert first.inputs == {"0": {"$input": "order", "path": ["total"]}}
    assert second.step.startswith(f"{__name__}:<lambda>@")
    assert second.inputs["1"] == {"$value": 1}
    assert function(second.step).call(["41.50", 1], what="x") == 42


def test_sleeps_are_in_seconds_or_until_a_moment() -> None:
    moment = datetime(2026, 1, 31, 9, tzinfo=UTC)

    @workflow(name="cmp/sleep")
    def made(order: Order) -> int:
        sleep(timedelta(minutes=2))
        sleep(timedelta(milliseconds=1500))
        sleep_until(order.due)
        sleep_until(moment)
        sleep_until("2026-01-31T09:00:00+08:00")
        return number(order.id)

    inputs = {one.name: one.inputs for one in made.plan.nodes if one.kind == Kind.SLEEP}
    assert inputs == {
        "sleep-1": {"seconds": {"$value": 120}},
        "sleep-2": {"seconds": {"$value": 1.5}},
        "sleep-until-1": {"until": {"$input": "order", "path": ["due"]}},
        "sleep-until-2": {"until": {"$value": "2026-01-31T09:00:00Z"}},
        "sleep-until-3": {"until": {"$value": "2026-01-31T09:00:00+08:00"}},
    }


def test_wait_for_holds_the_type_the_match_and_the_time_out() -> None:
    @workflow(name="cmp/wait")
    def made(order: Order) -> dict[str, Any] | None:
        wait_for("order.touched", timeout=timedelta(seconds=1))
        return wait_for(
            "payment.settled", match={"order": order.id, "kind": "card"}, timeout=timedelta(days=2)
        )

    assert node(made.plan, "wait-for-1").inputs == {"match": {"$value": {}}}
    assert node(made.plan, "wait-for-2") == Node(
        "wait-for-2",
        "payment.settled",
        {
            "match": {
                "$dict": {"order": {"$input": "order", "path": ["id"]}, "kind": {"$value": "card"}}
            }
        },
        kind=Kind.WAIT,
        extra={"timeout": 172800},
    )
    assert made.plan.output == {"$ref": "wait-for-2", "path": []}


def test_a_workflow_in_a_workflow_is_a_child() -> None:
    @workflow(name="cmp/parent")
    def made(value: int) -> str:
        left, _ = parallel(child(value), child.options(name="second", queue="bulk")(value=3))
        return left

    (group,) = made.plan.body.items
    assert isinstance(group, Group)
    assert group.branches[0] == Chain(
        (
            Node(
                "cmp/child",
                "cmp/child",
                {"value": {"$input": "value", "path": []}},
                kind=Kind.CHILD,
                extra={"types": child.types},
            ),
        )
    )
    second = node(made.plan, "second")
    assert (second.step, second.queue, second.inputs) == (
        "cmp/child",
        "bulk",
        {"value": {"$value": 3}},
    )


def test_the_default_time_out_is_extended_by_what_is_declared() -> None:
    @workflow(name="cmp/long")
    def inner(value: int) -> int:
        sleep(timedelta(days=30))
        wait_for("order.touched", timeout=timedelta(days=2))
        return number(value)

    @workflow(name="cmp/longer")
    def made(value: int) -> int:
        return inner(value)

    @workflow(name="cmp/short", timeout=timedelta(hours=1))
    def short(value: int) -> int:
        sleep(timedelta(days=30))
        return number(value)

    assert inner.timeout == timedelta(days=33)
    assert made.timeout == timedelta(days=33)
    assert short.timeout == timedelta(hours=1)


def bad_sleep(order: Order) -> int:
    sleep(timedelta(days=400))
    return number(order.id)


def bad_moment(order: Order) -> int:
    sleep_until(datetime(2026, 1, 1))  # noqa: DTZ001 - the point
    return number(order.id)


def bad_symbol(order: Order) -> int:
    sleep_until(order.id)  # type: ignore[arg-type]
    return number(order.id)


def bad_timeout(order: Order) -> int:
    wait_for("payment.settled", timeout=timedelta(0))
    return number(order.id)


def bad_event(order: Order) -> int:
    wait_for("", timeout=timedelta(1))
    return number(order.id)


def bad_items(order: Order) -> list[int]:
    return each(order.id, number)  # type: ignore[call-overload, no-any-return]


def bad_body(order: Order) -> list[int]:
    return each(order.lines, lambda line: line.price)  # type: ignore[return-value, arg-type]


def bad_parallel(order: Order) -> list[int]:
    return each(order.lines, fetch, max_parallel=0)


def bad_values(order: Order) -> int:
    return number(transform(is_large))  # type: ignore[arg-type]


def capturing(order: Order) -> int:
    with when(order.total, lambda total: total > order.id):
        pass
    return number(order.id)


def bad_field(order: Order) -> int:
    return number(order.ident)  # type: ignore[attr-defined]


def bad_key(order: Order) -> int:
    return number(order.lines["first"])  # type: ignore[call-overload]


def property_of_a_scalar(order: Order) -> int:
    return number(order.due.year)


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (bad_sleep, "1 second to 1 year"),
        (bad_moment, "with a time zone"),
        (bad_symbol, "takes a moment"),
        (bad_timeout, "1 second to 1 year"),
        (bad_event, "an event's type"),
        (bad_items, "takes a list"),
        (bad_body, "make a @workflow of several steps"),
        (bad_parallel, "1 or more"),
        (bad_values, "cannot take 0 values"),
        (capturing, "captures a symbolic value"),
        (bad_field, "Order has id, total, due, lines"),
        (bad_key, "taken by number"),
        (property_of_a_scalar, "no fields or items as JSON"),
    ],
)
def test_what_makes_no_sense_is_refused_with_file_line_and_remedy(fn: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        workflow(name="cmp/refused")(fn)

    assert f"{__file__}:" in str(caught.value)


def test_each_word_is_a_signature_of_the_canvas() -> None:
    @workflow(name="cmp/canvas")
    def made(order: Order) -> int:
        with when(order.total, is_large):
            sleep(timedelta(seconds=5))
        wait_for("payment.settled", timeout=timedelta(days=1))
        child(order.id)
        each(order.lines, fetch)
        return number(transform(lambda one: int(one), order.total))

    canvas: Any = made.canvas()
    tasks = canvas.tasks

    assert [task.task for task in tasks] == [
        "jobs.when",
        "jobs.sleep",
        "jobs.wait",
        "jobs.child",
        "jobs.each",
        "jobs.transform",
        "cmp-number",
    ]
    assert tasks[0].kwargs == {
        "inputs": {"value": {"$input": "order", "path": ["total"]}},
        "of": f"{__name__}:is_large",
        "span": 1,
    }
    assert all(task.immutable for task in tasks)
