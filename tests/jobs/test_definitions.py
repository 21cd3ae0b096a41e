"""What is refused while a workflow is read, each with file, line and remedy."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs import Context, parallel, step, workflow
from jobs.errors import DefinitionError
from jobs.models import Run

pytestmark = pytest.mark.usefixtures("forget_definitions")


@step(name="def-one")
def one(ctx: Context, number: int) -> dict[str, int]:
    return {"n": number}


@step(name="def-two")
def two(ctx: Context, number: int) -> int:
    return number


def branching(number: int) -> int:
    if two(number):
        return two(number)
    return 0


def comparing(number: int) -> int:
    return two(1 if two(number) > 3 else 2)


def adding(number: int) -> int:
    return two(two(number) + 1)


def looping(number: int) -> int:
    return sum(two(item) for item in one(number).values())


def formatting(number: int) -> int:
    return two(int(f"{two(number)}"))


def stepless(number: int) -> int:
    return number


def one_branch(number: int) -> int:
    return int(parallel(two(number))[0])


def old_branch(number: int) -> int:
    first = two(number)
    second = two(first)
    parallel(first, two(second))
    return second


def dependent_branches(number: int) -> int:
    first = two(number)
    parallel(first, two(first))
    return first


def sideways(number: int) -> int:
    kept: list[int] = []

    def left() -> int:
        kept.append(two(number))
        return kept[0]

    parallel(left, lambda: two(kept[0]))
    return kept[0]


def wrong_arguments(number: int) -> int:
    return two(number, number)  # type: ignore[call-arg]


def wrong_literal(number: int) -> int:
    return two("x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fn", "says"),
    [
        (branching, "the truth of <def-two>"),
        (comparing, "a comparison of <def-two>"),
        (adding, "arithmetic of <def-two>"),
        (looping, r"there is no <def-one>\.values"),
        (formatting, "the text or number of <def-two>"),
        (stepless, "calls no step"),
        (one_branch, "two branches or more"),
        (old_branch, "branch"),
        (dependent_branches, "parallel"),
        (sideways, "runs beside it"),
        (wrong_arguments, "too many positional arguments"),
    ],
)
def test_what_cannot_be_read_is_refused(fn: Callable[[int], int], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        workflow(name="def/refused")(fn)

    assert f"{__file__}:" in str(caught.value)


def test_a_literal_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(DefinitionError, match="valid integer"):
        workflow(name="def/literal")(wrong_literal)


def unannotated(ctx: Context, number) -> int:  # type: ignore[no-untyped-def]
    return 1


def no_result(ctx: Context, number: int):  # type: ignore[no-untyped-def]
    return 1


def model_out(ctx: Context, number: int) -> Run:
    return Run()


def stream_out(ctx: Context, number: int) -> Iterator[int]:
    yield number


def no_context(number: int) -> int:
    return number


def starred(ctx: Context, *numbers: int) -> int:
    return 1


async def asynchronous(ctx: Context, number: int) -> int:
    return number


@pytest.mark.parametrize(
    ("fn", "remedy"),
    [
        (unannotated, "say its type"),
        (no_result, "-> None"),
        (model_out, "primary key"),
        (stream_out, "use a list"),
        (no_context, "ctx: Context"),
        (starred, "take one list"),
        (asynchronous, "asyncio.run"),
    ],
)
def test_a_step_that_cannot_be_stored_is_refused_with_the_remedy(
    fn: Callable[..., Any], remedy: str
) -> None:
    with pytest.raises(DefinitionError, match=remedy) as caught:
        step(name="def-refused")(fn)

    assert f"{__file__}:{fn.__code__.co_firstlineno}" in str(caught.value)


def test_two_steps_of_one_name_are_refused() -> None:
    with pytest.raises(DefinitionError, match=r"already defined at .*test_definitions"):

        @step(name="def-one")
        def another(ctx: Context) -> None:
            return None


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(DefinitionError, match="attempts=0"):

        @step(name="def-none", attempts=0)
        def none(ctx: Context) -> None:
            return None

    with pytest.raises(DefinitionError, match="attempts='3'"):

        @step(name="def-text", attempts="3")  # type: ignore[arg-type]
        def text(ctx: Context) -> None:
            return None

    with pytest.raises(DefinitionError, match=r"such as \(ValueError,\)"):

        @step(name="def-bare", permanent_on=ValueError)  # type: ignore[arg-type]
        def bare(ctx: Context) -> None:
            return None

    with pytest.raises(DefinitionError, match="backoff_factor"):
        step(name="def-factor", backoff_factor=0.5)


def test_a_parameter_may_not_be_named_like_an_option_of_start() -> None:
    def clash(company: int) -> int:
        return two(company)

    with pytest.raises(DefinitionError, match="rename it"):
        workflow(name="def/clash")(clash)


@pytest.mark.parametrize("name", ["def-two.compensate", "celery.ping", "jobs.barrier"])
def test_the_platform_s_own_names_are_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match="the platform's own"):

        @step(name=name)
        def own(ctx: Context) -> None:
            return None


def test_a_default_that_start_would_not_use_is_refused() -> None:
    def defaulted(number: int = 3) -> int:
        return two(number)

    with pytest.raises(DefinitionError, match="field of a pydantic model"):
        workflow(name="def/default")(defaulted)


def test_a_second_compensation_is_refused() -> None:
    @step(name="def-undone")
    def undone(ctx: Context) -> int:
        return 1

    @undone.compensation
    def undo(ctx: Context, value: int) -> None:
        return None

    with pytest.raises(DefinitionError, match="has a compensation already"):

        @undone.compensation
        def undo_again(ctx: Context, value: int) -> None:
            return None


def test_a_call_outside_a_workflow_says_how_to_test_a_step() -> None:
    with pytest.raises(DefinitionError, match=r"\.fn\(ctx"):
        two(1)


def test_calls_get_numbered_names_and_options_rename_one() -> None:
    def named(number: int) -> int:
        return two(two.options(name="middle", queue="orders")(two(number)))

    made = workflow(name="def/named")(named)

    assert [node.name for node in made.plan.nodes] == ["def-two", "middle", "def-two#2"]
    assert made.plan.node("middle").queue == "orders"


def test_fields_and_items_of_a_value_are_followed() -> None:
    def path(number: int) -> int:
        return two(one(number)["n"])

    made = workflow(name="def/path")(path)

    assert made.plan.node("def-two").inputs["number"] == {"$ref": "def-one", "path": ["n"]}
