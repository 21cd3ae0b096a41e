"""Hooks: a named place, one attachment, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest

from jobs import Context, attach, hook, parallel, sleep, step, when, workflow
from jobs.checks import check_hooks
from jobs.definitions import Workflow
from jobs.errors import DefinitionError
from jobs.plan import Group, Kind, Node
from jobs.registry import registry

pytestmark = pytest.mark.usefixtures("forget_definitions")


@step(name="hook-create")
def create(ctx: Context, number: int) -> int:
    return number


@step(name="hook-audit")
def audit(ctx: Context, order_id: int, note: str) -> int:
    return order_id


@audit.compensation
def forget(ctx: Context, order_id: int) -> None:
    return None


@step(name="hook-lenient")
def lenient(ctx: Context, order_id: int | None, note: str = "") -> None:
    return None


def make(name: str = "hook/orders") -> Workflow[[int], int]:
    @workflow(name=name)
    def orders(number: int) -> int:
        order_id = create(number)
        hook("order_created", order_id, "new")
        return create(order_id)

    return orders


def test_an_attached_step_is_a_node_named_after_the_hook() -> None:
    orders = make()
    assert orders.hooks.order_created(audit) is audit

    assert orders.plan.node("order_created") == Node(
        "order_created",
        "hook-audit",
        {"order_id": {"$ref": "hook-create", "path": []}, "note": {"$value": "new"}},
        extra={"types": audit.types},
    )


def test_without_an_attachment_nothing_runs_there() -> None:
    orders = make()

    assert [node.name for node in orders.plan.nodes] == ["hook-create", "hook-create#2"]


def test_a_hook_takes_its_step_as_a_decorator() -> None:
    orders = make()

    @orders.hooks.order_created
    @step(name="hook-decorated")
    def decorated(ctx: Context, order_id: int, note: str) -> None:
        return None

    @decorated.compensation
    def undo(ctx: Context) -> None:
        return None

    assert orders.plan.node("order_created").step == "hook-decorated"


def test_an_attachment_by_name_may_come_before_the_workflow() -> None:
    attach(audit, workflow="hook/later", hook="order_created")

    orders = make("hook/later")

    assert orders.plan.node("order_created").step == "hook-audit"


def test_a_workflow_is_attached_as_a_child_run() -> None:
    orders = make()

    @workflow(name="hook/child")
    def child(order_id: int, note: str) -> int:
        return audit(order_id, note)

    orders.hooks["order_created"].attach(child)

    assert orders.plan.node("order_created").kind == Kind.CHILD


def test_a_hook_alone_in_a_block_or_branch_leaves_nothing_behind() -> None:
    @workflow(name="hook/alone")
    def alone(number: int) -> int:
        with when(number, lambda value: value > 3):
            hook("large", number)
        with when(number, lambda value: value < 0):
            hook("negative", number)
            create(number)
        _, last = parallel(lambda: hook("beside", number), lambda: create(create(number)))
        return last

    assert [item.name for item in alone.plan.body.items] == [
        "when-2",
        "hook-create",
        "hook-create#2",
        "hook-create#3",
    ]
    guard = alone.plan.node("when-2")
    assert guard.span == 1


def test_attached_hooks_keep_their_block_and_branch() -> None:
    @workflow(name="hook/kept")
    def kept(number: int) -> int:
        with when(number, lambda value: value > 3):
            hook("large", number)
            sleep(timedelta(seconds=1))
        _, last = parallel(lambda: hook("beside", number), create(number))
        return last

    kept.hooks.large(lenient)
    kept.hooks.beside(lenient)

    guard, large, _, group = kept.plan.body.items
    assert isinstance(guard, Node)
    assert (guard.span, large.name) == (2, "large")
    assert isinstance(group, Group)
    assert [branch.items[0].name for branch in group.branches] == ["beside", "hook-create"]


def test_a_second_attachment_is_refused() -> None:
    orders = make()
    orders.hooks.order_created(audit)

    with pytest.raises(DefinitionError, match=r"has an attachment already, <step hook-audit> at"):
        orders.hooks.order_created(lenient)


def test_an_unknown_hook_is_refused_with_the_known_ones() -> None:
    orders = make()

    with pytest.raises(DefinitionError, match="it has: order_created") as caught:
        orders.hooks.order_creatd(audit)

    assert f"{__file__}:" in str(caught.value)


@step(name="hook-text")
def of_text(ctx: Context, order_id: str, note: str) -> None:
    return None


@step(name="hook-one")
def of_one(ctx: Context, order_id: int) -> None:
    return None


@step(name="hook-three")
def of_three(ctx: Context, order_id: int, note: str, more: str) -> None:
    return None


@pytest.mark.parametrize(
    ("target", "says"),
    [
        (of_text, r"gives int there"),
        (of_one, "gives 2 values"),
        (of_three, "gives 2 values"),
        (lambda ctx, order_id, note: None, "put @step"),
    ],
)
def test_what_does_not_take_the_values_is_refused(target: Any, says: str) -> None:
    orders = make()

    with pytest.raises(DefinitionError, match=says) as caught:
        orders.hooks.order_created.attach(target)

    assert f"{__file__}:" in str(caught.value)
    assert not registry.attached_to(orders.name)


def test_what_came_by_name_and_does_not_fit_is_refused_when_the_workflow_comes() -> None:
    attach(of_text, workflow="hook/misfit", hook="order_created")

    with pytest.raises(DefinitionError, match="gives int there"):
        make("hook/misfit")


def test_a_value_that_may_be_none_needs_a_step_that_accepts_none() -> None:
    @workflow(name="hook/perhaps")
    def perhaps(number: int) -> int:
        with when(number, lambda value: value > 3):
            order_id = create(number)
        hook("order_created", order_id)
        return create(number)

    with pytest.raises(DefinitionError, match="int or None there"):
        perhaps.hooks.order_created(of_one)
    perhaps.hooks.order_created(lenient)


def test_a_plan_that_was_looked_at_does_not_change_any_more() -> None:
    orders = make()
    before = orders.plan

    with pytest.raises(DefinitionError, match=r"attach in your app's workflows\.py"):
        orders.hooks.order_created(audit)

    assert orders.plan is before


def test_every_plan_is_fixed_once_the_apps_are_ready() -> None:
    orders = make()

    registry.seal()

    with pytest.raises(DefinitionError, match="fixed by now"):
        orders.hooks.order_created(audit)


def test_a_cycle_through_a_hook_is_refused() -> None:
    orders = make()

    @workflow(name="hook/around")
    def around(order_id: int, note: str) -> int:
        return orders(order_id)

    with pytest.raises(DefinitionError, match="hook/orders → hook/around → hook/orders"):
        orders.hooks.order_created(around)


def test_a_cycle_through_a_hook_by_name_is_refused() -> None:
    @workflow(name="hook/inner")
    def inner(number: int) -> int:
        hook("begun", number)
        return create(number)

    attach_later = "hook/outer"

    @workflow(name=attach_later)
    def outer(number: int) -> int:
        return inner(number)

    with pytest.raises(DefinitionError, match="a cycle"):
        attach(outer, workflow="hook/inner", hook="begun")


def test_attachments_that_no_code_reaches_are_found_by_the_checks() -> None:
    make()
    attach(audit, workflow="hook/nowhere", hook="order_created")
    attach(audit, workflow="hook/orders", hook="order_gone")

    found = check_hooks()

    assert [one.id for one in found] == ["jobs.E003", "jobs.E003"]
    assert "no code makes" in found[0].msg
    assert "it has: order_created" in found[1].msg
    assert all(f"{__file__}:" in one.msg for one in found)


def two_of_a_name(number: int) -> int:
    hook("same", number)
    hook("same", number)
    return create(number)


def odd_name(number: int) -> int:
    hook("order created", number)
    return create(number)


def only_hooks(number: int) -> int:
    hook("only", number)
    return number


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (two_of_a_name, "is taken in this workflow"),
        (odd_name, "one word"),
        (only_hooks, "calls no step"),
    ],
)
def test_hooks_that_cannot_be_are_refused(fn: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        workflow(name="hook/refused")(fn)

    assert f"{__file__}:" in str(caught.value)


def test_a_hook_belongs_into_a_workflow() -> None:
    with pytest.raises(DefinitionError, match="inside a workflow function"):
        hook("outside")
