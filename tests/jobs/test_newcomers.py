"""What people write who are new here: an error that helps, or what they meant."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, SecretStr

from jobs import Context, Debounce, job, step, when, workflow
from jobs.errors import DefinitionError, InvalidInput, ResultTimeout
from jobs.models import Run
from jobs.testing import run_inline

pytestmark = pytest.mark.usefixtures("forget_definitions")


class Login(BaseModel):
    password: SecretStr


class Pair(TypedDict):
    left: int


@step(name="new-same")
def same(ctx: Context, number: int) -> int:
    return number


def is_one(number: int) -> bool:
    return number == 1


def even_key(number: int) -> int | None:
    return None if number % 2 else 10 // number


@pytest.mark.parametrize("decorator", [step, workflow, job])
def test_a_decorator_without_parentheses_says_so(decorator: Any) -> None:
    with pytest.raises(DefinitionError, match=r"write @\w+\(name=…\), with parentheses") as caught:
        decorator(is_one)

    assert f"{__file__}:" in str(caught.value)


def keyed(number: int) -> int:
    return same(number)


def in_an_if(number: int) -> int:
    if when(number, is_one):
        return same(number)
    return same(2)


def on_a_line(number: int) -> int:
    when(number, is_one)
    return same(number)


@pytest.mark.parametrize("fn", [in_an_if, on_a_line])
def test_a_condition_without_its_block_is_refused(fn: Callable[[int], int]) -> None:
    with pytest.raises(DefinitionError, match=r"write `with when\(") as caught:
        workflow(name="new/when")(fn)

    assert f"{__file__}:" in str(caught.value)


def test_a_secret_is_refused_instead_of_stored_as_asterisks() -> None:
    with pytest.raises(DefinitionError, match="only asterisks would be stored"):

        @step(name="new-secret")
        def log_in(ctx: Context, logins: list[Login]) -> None:
            return None


def test_what_pydantic_cannot_take_is_said_at_import() -> None:
    with pytest.raises(DefinitionError, match=r"typing_extensions\.TypedDict"):

        @step(name="new-typed-dict")
        def take(ctx: Context, pair: Pair) -> None:
            return None


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
def test_what_is_no_exception_is_a_failed_attempt_too(db: None, error: type[BaseException]) -> None:
    @step(name="new-loose", attempts=2)
    def loose(ctx: Context) -> None:
        raise error

    @workflow(name="new/loose")
    def made() -> None:
        loose()

    run = run_inline(made, company="acme")

    assert (run.status, run.steps.get().attempts) == ("failed", 2)
    assert run.error is not None
    assert run.error["type"] == error.__name__


@pytest.mark.parametrize(
    "options",
    [
        {"idempotency": even_key},
        {"singleton": even_key},
        {"debounce": Debounce(timedelta(hours=1), key=even_key)},
    ],
)
def test_a_key_of_none_is_no_key_and_a_broken_one_starts_nothing(
    db: None, options: dict[str, Any]
) -> None:
    made: Any = workflow(name="new/keyed", **options)(keyed)

    several = [made.start(number, company="acme").pk for number in (1, 3, 2, 2)]
    with pytest.raises(InvalidInput, match=r"the key function of .* failed: ZeroDivisionError"):
        made.start_many([4, 0], company="acme")

    assert len(set(several)) == 3
    assert Run.objects.count() == 3


def test_who_waits_for_a_run_of_his_own_transaction_is_told(db: None) -> None:
    @workflow(name="new/waited-for")
    def made(number: int) -> int:
        return same(number)

    with pytest.raises(ResultTimeout, match="begins when it commits: wait outside"):
        made.start(1, company="acme").result(timeout=0)
