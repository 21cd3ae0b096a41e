"""What a symbolic value cannot notice is found in the source; what is right is left alone."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from jobs import Context, each, parallel, step, transform, when, workflow
from jobs.errors import DefinitionError
from tests.jobs import flows

pytestmark = pytest.mark.usefixtures("forget_definitions")


class Order(BaseModel):
    id: int
    note: str | None = None
    numbers: list[int] = []


@step(name="unn-number")
def number(ctx: Context, value: int | None) -> int:
    return value or 0


def identity(order: Order) -> int:
    return number(1 if order.note is None else 2)


def identity_of_a_result(order: Order) -> int:
    first = number(order.id)
    if first is not None:
        return first
    return number(1)


def matching(order: Order) -> int:
    match number(order.id):
        case 1:
            return number(1)
        case _:
            return number(2)


def isinstances(order: Order) -> int:
    return number(1 if isinstance(order.note, str) else 2)


def types(order: Order) -> int:
    return number(1 if type(order) is Order else 2)


def attributes(order: Order) -> int:
    return number(1 if hasattr(order, "note") else 2)


def callables(order: Order) -> int:
    return number(1 if callable(order.id) else 2)


def trying(order: Order) -> int:
    try:
        first = number(order.id)
    except ValueError:
        first = number(1)
    return first


def finishing(order: Order) -> int:
    try:
        return flows.a(order.id)
    finally:
        number(1)


def suppressing(order: Order) -> int:
    with contextlib.suppress(ValueError):
        number(order.id)
    return number(1)


def representing(order: Order) -> int:
    return number(len(f"{order.id!r}"))


def representing_by_name(order: Order) -> int:
    return number(len(repr(order.id)))


def percent(order: Order) -> int:
    return number(len("%r" % order.id))  # noqa: UP031 - the point


def format_method(order: Order) -> int:
    return number(len("{!r}".format(order.id)))  # noqa: UP032 - the point


def in_a_lambda(order: Order) -> int:
    _, last = parallel(lambda: number(1 if order.note is None else 2), lambda: number(order.id))
    return last


def in_a_local_branch(order: Order) -> int:
    def branch() -> int:
        return number(1 if order.note is None else 2)

    return parallel(branch, number(order.id))[1]


def in_unpacked_branches(order: Order) -> int:
    left, right = parallel(number(1), number(2))
    return number(left if right is None else right)


def in_a_loop(order: Order) -> int:
    for value in [number(1), number(2)]:
        if value is None:
            return number(3)
    return number(4)


def helping(order: Order, *, strict: bool = False) -> int:
    return number(1 if order.note is None and strict is None else 2)


def in_a_helper(order: Order) -> int:
    return helping(order)


def leaving_a_block(order: Order) -> int:
    with when(order.id, lambda value: value > 3):
        return number(1)
    return number(2)


def leaving_a_loop(order: Order) -> int:
    for _ in range(3):
        with when(order.id, lambda value: value > 3):
            number(1)
            break
    return number(2)


def renamed(order: Order) -> int:
    return number(1 if number.options(name="x")(order.id) is None else 2)


WRONG = [
    (identity, "`is`"),
    (identity_of_a_result, "`is`"),
    (matching, "`match`"),
    (isinstances, r"isinstance\(\)"),
    (types, r"type\(\)"),
    (attributes, r"hasattr\(\)"),
    (callables, r"callable\(\)"),
    (trying, "`try`"),
    (finishing, "`try`"),
    (suppressing, "`with`"),
    (representing, "made a text"),
    (representing_by_name, r"repr\(\)"),
    (percent, "made a text"),
    (format_method, "made a text"),
    (in_a_lambda, "`is`"),
    (in_a_local_branch, "`is`"),
    (in_unpacked_branches, "`is`"),
    (in_a_loop, "`is`"),
    (in_a_helper, "`is`"),
    (leaving_a_block, "leaving the block"),
    (leaving_a_loop, "leaving the block"),
    (renamed, "`is`"),
]


@pytest.mark.parametrize(("fn", "says"), WRONG)
def test_what_nothing_would_notice_is_refused(fn: Callable[..., Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        workflow(name="unn/refused")(fn)

    line = int(str(caught.value).removeprefix(f"{__file__}:").split(":")[0])
    assert line > fn.__code__.co_firstlineno or fn is in_a_helper


def test_the_line_is_that_of_the_mistake() -> None:
    with pytest.raises(DefinitionError) as caught:
        workflow(name="unn/line")(identity)

    assert str(caught.value).startswith(f"{__file__}:{identity.__code__.co_firstlineno + 1}: ")


LIMIT: int | None = None


def is_missing(value: str | None) -> bool:
    return value is None


def right(order: Order) -> int | None:
    """Constants, containers and predicates are real values."""
    limit = 3 if LIMIT is None else LIMIT
    values = [number(order.id), number(limit)]
    assert isinstance(values, list)
    assert values is not None

    def missing(value: str | None) -> bool:
        return value is None

    try:
        text = f"{limit}"
    except ValueError:
        text = "x"
    with contextlib.suppress(KeyError):
        text = {"a": text}["a"]
    with when(order.note, lambda value: value is not None):
        number(transform(lambda value: 1 if isinstance(value, str) else 2, order.note))
    with when(order.note, missing):
        number(1)
    with when(order.note, is_missing):
        each(order.numbers, number)
    order_id: Any = None
    assert order_id is None
    with when(order.id, lambda value: value > len(text)):
        return number(order.id)


def test_what_is_right_is_left_alone() -> None:
    made = workflow(name="unn/right")(right)

    assert len(made.plan.nodes) == 11


def test_the_project_s_own_workflows_are_left_alone() -> None:
    for made in (flows.chain, flows.diamond, flows.nested):
        workflow(name=f"unn/{made.name}")(made.fn)


def test_without_source_there_is_no_check() -> None:
    names: dict[str, Any] = {"number": number, "Order": Order}
    exec("def made(order: Order) -> int:\n    return number(1 if order is None else 2)", names)  # noqa: S102

    assert workflow(name="unn/exec")(names["made"]).plan.nodes
