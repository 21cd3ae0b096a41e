"""Functions by address: stable between processes, and another for other code."""

import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from jobs.addresses import function, register, resolve
from jobs.errors import DefinitionError, InvalidInput, UnknownFunction
from jobs.sources import text_of


def within(kept: set[str]) -> Callable[[str], bool]:
    return lambda value: value in kept


class Order(BaseModel):
    total: Decimal

    @classmethod
    def of(cls, total: Decimal) -> "Order":
        return cls(total=total)


def double(total: Decimal) -> Decimal:
    return total * 2


def bare(total):  # type: ignore[no-untyped-def]
    return total * 2


def above(limit: int) -> Callable[[Any], bool]:
    return lambda value: value > limit


def test_a_function_of_a_module_is_addressed_by_name() -> None:
    made = register(double, [Decimal])

    assert made.address == f"{__name__}:double"
    assert resolve(made.address) is double
    assert made.call(["1.5"], what="x") == "3.0"


def test_a_name_is_found_though_nobody_registered_it() -> None:
    assert function(f"{__name__}:double").call(["2"], what="x") == "4"
    assert resolve(f"{__name__}:Order.of") == Order.of


@pytest.mark.parametrize(
    "address",
    [f"{__name__}:gone", "no.such.module:fn", f"{__name__}:<lambda>@0123456789abcdef", "plain"],
)
def test_what_the_code_lacks_is_said(address: str) -> None:
    with pytest.raises(UnknownFunction, match="not in the deployed code"):
        resolve(address)


def test_a_lambda_is_addressed_by_its_source() -> None:
    first = register(lambda value: value + 1, [int])
    again = register(lambda value: value + 1, [int])
    other = register(lambda value: value + 2, [int])

    assert first.address == again.address != other.address
    assert first.address.startswith(f"{__name__}:<lambda>@")
    assert other.call([1], what="x") == 3


def test_two_lambdas_on_one_line_are_told_apart() -> None:
    made = [register(fn, [int]) for fn in (lambda value: value + 1, lambda value: value + 2)]

    assert [one.call([1], what="x") for one in made] == [2, 3]
    assert made[0].address != made[1].address


def test_the_layout_of_a_lambda_does_not_matter() -> None:
    # fmt: off
    first, second = (lambda value: value+1, lambda  value : (
        value + 1
    ))
    # fmt: on
    assert text_of(first) == text_of(second) == "lambda value: value + 1"


def test_captured_values_are_part_of_the_address() -> None:
    three, three_again, four = (register(above(limit), [int]) for limit in (3, 3, 4))

    assert three.address == three_again.address != four.address
    assert (three.call([4], what="x"), four.call([4], what="x")) == (True, False)


def test_a_lambda_is_given_the_types_of_its_values() -> None:
    of_decimal = register(lambda value: value * 2, [Decimal])
    of_uuid = register(lambda value: value.hex, [UUID])
    of_order = register(lambda order: order.total, [Order])

    assert of_decimal.call(["1.5"], what="x") == "3.0"
    assert of_uuid.call([str(UUID(int=7))], what="x") == UUID(int=7).hex
    assert of_order.call([{"total": "2"}], what="x") == "2"
    with pytest.raises(InvalidInput):
        of_decimal.call(["much"], what="x")


def test_other_types_are_another_address() -> None:
    made = [register(lambda value: value * 2, [kind]) for kind in (int, Decimal)]
    named = [register(bare, [kind]) for kind in (int, Decimal)]

    assert made[0].address != made[1].address
    assert named[0].address != named[1].address
    assert resolve(named[0].address) is bare


def test_builtins_and_classes_are_functions_too() -> None:
    assert register(len, [list[int]]).call([[1, 2]], what="x") == 2
    assert register(sum, [list[Decimal]]).call([["1.5", "2"]], what="x") == "3.5"
    assert register(str, [UUID]).call([str(UUID(int=1))], what="x") == str(UUID(int=1))


def test_captured_containers_are_told_by_their_content() -> None:
    def of(kept: Any) -> str:
        return register(lambda value: value in kept, [int]).address

    assert of({"b", "a", "c"}) == of({"c", "b", "a"})
    assert len({of([1, {"a": 2}]), of([1, {"a": 3}]), of((1, {"a": 2})), of({1, 2})}) == 4


def local_of(kind: type) -> Callable[[Any], Any]:
    def local(value: Any) -> Any:
        return kind(value)

    return local


class Opaque:
    __slots__ = ()


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (object(), "has no name to store"),
        (lambda: 1, "cannot take 1 value"),
        (lambda value, opaque=Opaque(): value, "cannot be stored"),  # noqa: B008 - the point
    ],
)
def test_what_cannot_be_addressed_is_refused(fn: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        register(fn, [int])

    assert f"{__file__}:" in str(caught.value)


def test_async_functions_and_streams_are_refused() -> None:
    async def later(value: int) -> int:
        return value

    def stream(value: int) -> Any:
        yield value

    for fn in (later, stream):
        with pytest.raises(DefinitionError, match="plain function"):
            register(fn, [int])


def test_a_captured_class_is_told_by_its_name() -> None:
    assert register(local_of(int), [str]).address != register(local_of(float), [str]).address


def test_addresses_are_the_same_in_every_process() -> None:
    program = (
        "from tests.jobs import test_addresses as own;"
        "from jobs.addresses import register;"
        "print(register(own.above(3), [int]).address, register(own.bare, [own.Order]).address,"
        " register(own.within({'a', 'b', 'c'}), [str]).address)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": ".:platform"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(found) == 1
