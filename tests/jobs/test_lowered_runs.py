"""What the front end lowers to, run by the engine: canvases, hooks, functions with their types."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from celery import Task, chain, group, shared_task
from pydantic import BaseModel

from jobs import Context, Limit, each, hook, sleep, step, transform, when, workflow
from jobs.models import Run
from jobs.services import start_workflow
from tests.jobs.conftest import Post

pytestmark = pytest.mark.usefixtures("forget_definitions")

UNDONE: list[Any] = []


class Order(BaseModel):
    id: int
    total: Decimal


@shared_task(name="low.add")
def add(left: int, right: int) -> int:
    return left + right


@shared_task(name="low.total")
def total(numbers: list[int]) -> int:
    return sum(numbers)


@shared_task(name="low.stubborn", bind=True, max_retries=2, default_retry_delay=1)
def stubborn(self: "Task[Any, Any]", number: int) -> int:
    if self.request.retries < 2:
        raise self.retry()
    return number * 10


@shared_task(name="low.refusing")
def refusing(number: int) -> int:
    raise ValueError(f"not {number}")


@step(name="low-double")
def double(ctx: Context, number: int) -> int:
    return number * 2


@double.compensation
def undo_double(ctx: Context, number: int) -> None:
    UNDONE.append(number)


@step(name="low-perhaps")
def perhaps(ctx: Context, number: int | None) -> int:
    return -1 if number is None else number


@pytest.fixture(autouse=True)
def _nothing_undone() -> None:
    UNDONE.clear()


def test_a_canvas_by_hand_runs_tasks_and_steps(post: Post) -> None:
    made = workflow(
        name="low/canvas",
        canvas=chain(add.s(1), group(add.s(10), double.s(), stubborn.s()), total.s()),
    )

    run = made.start(2, company="acme")
    post.run_to_the_end(run)

    assert run.result(timeout=0) == 13 + 6 + 30


def test_a_canvas_by_hand_is_a_child_run_too(post: Post) -> None:
    inner = workflow(name="low/inner-canvas", canvas=chain(add.s(), double.s()))

    @workflow(name="low/parent")
    def parent(number: int) -> Any:
        return inner(number, 5)

    assert post.run_to_the_end(parent.start(2, company="acme")).output == 14


def test_many_canvases_start_at_once(post: Post) -> None:
    made = workflow(name="low/many", canvas=chain(add.s(), double.s()))

    runs = made.start_many([(1, 2), (3, 4)], company="acme")

    assert [post.run_to_the_end(run).output for run in runs] == [6, 14]


def test_a_task_that_fails_undoes_the_steps_before_it(post: Post) -> None:
    made = workflow(name="low/failing", canvas=chain(double.s(), refusing.s()))

    found = post.run_to_the_end(made.start(2, company="acme"))

    assert (found.status, found.rollback) == (Run.Status.FAILED, Run.Rollback.COMPLETE)
    assert UNDONE == [4]


@pytest.mark.parametrize(("amount", "found"), [("12.50", [25, "1250", 7]), ("0", [0, "0", -1])])
def test_functions_see_the_types_of_their_values(post: Post, amount: str, found: Any) -> None:
    @workflow(name="low/functions")
    def made(order: Order) -> list[Any]:
        cents = transform(lambda total: str(int(total * 100)), order.total)
        twice = transform(lambda total: int(total * 2), order.total)
        with when(order.total, lambda total: total):
            number = transform(lambda one: one.id, order)
        return [twice, cents, perhaps(number)]

    run = made.start(Order(id=7, total=Decimal(amount)), company="acme")
    post.run_to_the_end(run)

    assert run.result(timeout=0) == found


def test_a_predicate_may_return_what_has_no_json_form(post: Post) -> None:
    @workflow(name="low/matching")
    def made(text: str) -> int:
        with when(text, lambda text: re.match("a+", text)):
            number = double(1)
        return perhaps(number)

    runs = [made.start(text, company="acme") for text in ("aaa", "bbb")]

    assert [post.run_to_the_end(run).output for run in runs] == [2, -1]


def test_an_attached_step_runs_and_is_undone_with_the_others(post: Post) -> None:
    @workflow(name="low/hooked")
    def made(number: int) -> int:
        first = double(number)
        hook("doubled", first)
        return refused(first)

    @made.hooks.doubled
    @step(name="low-hooked")
    def hooked(ctx: Context, number: int) -> str:
        return f"hooked {number}"

    @hooked.compensation
    def unhook(ctx: Context, text: str) -> None:
        UNDONE.append(text)

    found = post.run_to_the_end(made.start(2, company="acme"))

    assert found.rollback == Run.Rollback.COMPLETE
    assert UNDONE == ["hooked 4", 4]


@step(name="low-refused", attempts=1)
def refused(ctx: Context, number: int) -> int:
    raise ValueError("no")


def test_keys_are_given_the_inputs_in_their_declared_order(post: Post) -> None:
    keys = []

    def key_of_run(customer: str, n: int) -> str:
        keys.append((customer, n))
        return customer.upper()

    def key_of_step(text: str, by: int) -> str:
        keys.append((text, by))
        return text.upper()

    @step(name="low-keyed", concurrency=Limit(1, key=key_of_step))
    def keyed(ctx: Context, text: str, by: int = 3) -> str:
        return text * by

    @workflow(
        name="low/keyed",
        concurrency=Limit(1, key=key_of_run),
        idempotency=key_of_run,
        singleton=key_of_run,
    )
    def made(customer: str, n: int) -> str:
        return keyed(customer)

    run = start_workflow("low/keyed", {"n": 7, "customer": "ann"}, company="acme")

    assert post.run_to_the_end(run).output == "annannann"
    assert set(keys) == {("ann", 7), ("ann", 3)}


def test_words_may_be_put_into_each_other(post: Post) -> None:
    @workflow(name="low/inner")
    def inner(number: int, by: int) -> int:
        sleep(timedelta(seconds=1))
        with when(number, lambda value: value % 2):
            number = double(number)
        return transform(lambda value, by: (value or 0) + by, number, by)

    @workflow(name="low/outer")
    def outer(numbers: list[int]) -> int:
        return transform(sum, each(numbers, inner, 100, max_parallel=2))

    run = outer.start([1, 2, 3], company="acme")
    post.run_to_the_end(run)

    assert run.result(timeout=0) == 102 + 100 + 106
