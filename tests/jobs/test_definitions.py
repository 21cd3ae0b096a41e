"""What is refused while a workflow is read, each with file, line and remedy."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel

from jobs import (
    Context,
    Debounce,
    Done,
    Every,
    Limit,
    PermanentFailure,
    Rate,
    parallel,
    step,
    workflow,
)
from jobs.errors import DefinitionError
from jobs.fitting import fits
from jobs.limits import MAX_KEY, key_of, key_text
from jobs.models import Run
from jobs.registry import registry
from tests.jobs import postponed

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


def models_out(ctx: Context, number: int) -> list[Run | None]:
    return []


def stream_out(ctx: Context, number: int) -> Iterator[int]:
    yield number


def done_or_not(ctx: Context, number: int) -> Done[int] | None:
    return None


def bare_done(ctx: Context, number: int) -> Done:  # type: ignore[type-arg]
    return Done(number)


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
        (models_out, "primary key"),
        (stream_out, "use a list"),
        (done_or_not, "on every path"),
        (bare_done, "write `-> Done"),
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


def test_annotations_may_be_postponed() -> None:
    inner = {"number": 1, "inner": None}

    assert postponed.postponed.encode_input(({"number": 2, "inner": inner},)) == {
        "parcel": {"number": 2, "inner": inner}
    }
    assert postponed.number.output.annotation is int


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


class Receipt(BaseModel):
    id: int
    total: Decimal


class Note(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("output", "argument"),
    [
        (int, int),
        (int, float),
        (int, int | None),
        (int, Any),
        (int, Decimal),
        (Receipt, Receipt),
        (Receipt, dict[str, Any]),
        (dict[str, Any], Receipt),
        (list[int], list[float]),
        (tuple[int, str], list[Any]),
        (UUID, str),
        (str, UUID),
        (Decimal, float),
        (Receipt | None, Receipt | None),
        (Literal["a"], str),
    ],
)
def test_a_compensation_may_take_what_the_output_can_be(output: Any, argument: Any) -> None:
    assert fits(output, argument)


@pytest.mark.parametrize(
    ("output", "argument"),
    [
        (int, str),
        (int, Receipt),
        (int, list[int]),
        (str, int),
        (Receipt, int),
        (Receipt, Note),
        (list[int], dict[str, int]),
        (list[int], list[Receipt]),
        (int | None, int),
        (dict[str, int], dict[str, Receipt]),
        (int, UUID),
    ],
)
def test_a_compensation_that_does_not_fit_is_refused(output: Any, argument: Any) -> None:
    def returning(ctx: Context) -> Any:
        return None

    def undoing(ctx: Context, value: Any) -> None:
        return None

    returning.__annotations__["return"] = output
    undoing.__annotations__["value"] = argument
    made = step(name="def-returning")(returning)

    with pytest.raises(DefinitionError, match=r"ctx\.undo_with") as caught:
        made.compensation(undoing)

    assert f"{__file__}:" in str(caught.value)


def by_outcome(ctx: Context) -> Any:
    return Done(1, undo="x")


def by_context(ctx: Context) -> Any:
    ctx.undo_with("x")


def by_failure(ctx: Context) -> Any:
    raise PermanentFailure("no", undo="x")


def by_another_function(ctx: Context) -> Any:
    by_context(ctx)


@pytest.mark.parametrize("fn", [by_outcome, by_context, by_failure, by_another_function])
def test_a_step_that_gives_undo_data_may_have_any_compensation(fn: Any) -> None:
    fn.__annotations__["return"] = int
    made = step(name="def-giving")(fn)

    @made.compensation
    def undo(ctx: Context, value: str) -> None:
        return None


def test_a_workflow_that_calls_itself_is_refused() -> None:
    with pytest.raises(DefinitionError, match="calls itself: a cycle") as caught:

        @workflow(name="def/self")
        def itself(number: int) -> int:
            return itself(number)

    assert f"{__file__}:" in str(caught.value)


def test_workflows_that_call_each_other_are_refused() -> None:
    def first(number: int) -> int:
        return second(number)

    with pytest.raises(DefinitionError, match="two workflows that call each other are a cycle"):
        workflow(name="def/first")(first)

    def second(number: int) -> int:
        return first(number)


def test_a_workflow_function_cannot_start_runs() -> None:
    @workflow(name="def/started")
    def started() -> int:
        return two(1)

    def starting(number: int) -> int:
        started.start(company="acme")
        return two(number)

    with pytest.raises(DefinitionError, match="for a child run") as caught:
        workflow(name="def/starting")(starting)

    assert f"{__file__}:{starting.__code__.co_firstlineno + 1}: " in str(caught.value)


def test_two_workflows_of_one_name_are_refused() -> None:
    @workflow(name="def/name")
    def one_of_them(number: int) -> int:
        return two(number)

    with pytest.raises(DefinitionError, match=r"already defined at .*test_definitions"):

        @workflow(name="def/name")
        def another(number: int) -> int:
            return two(number)


def test_what_goes_wrong_while_reading_names_the_line() -> None:
    def broken(number: int) -> int:
        two(number)
        return two(int("x"))

    with pytest.raises(DefinitionError, match="ValueError: invalid literal") as caught:
        workflow(name="def/broken")(broken)

    assert f"{__file__}:{broken.__code__.co_firstlineno + 2}: " in str(caught.value)


LIMITS: list[tuple[dict[str, Any], str]] = [
    ({"timeout": 0}, "timeout"),
    ({"timeout": "5"}, "timeout='5'"),
    ({"backoff": "1"}, "backoff='1'"),
    ({"backoff_factor": "2"}, "backoff_factor='2'"),
    ({"jitter": 1}, "True or False"),
    ({"atomic": 1}, "True or False"),
    ({"pivot": "yes"}, "True or False"),
    ({"on_failure": "ignore"}, "'rollback' or 'continue' or 'skip_rest'"),
    ({"concurrency": 5}, r"Limit\(5\)"),
    ({"rate": Limit(5)}, "a Rate"),
    ({"queue": ""}, "a name"),
    ({"name": ""}, "1 to 200 characters"),
    ({"name": "a[1]"}, "bracket"),
    ({"concurrency": Limit(5, key=lambda a, b: a)}, "the key of concurrency"),
]


@pytest.mark.parametrize(("options", "says"), LIMITS)
def test_options_of_a_step_say_what_they_take(options: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        step(**{"name": "def-options", **options})(lambda_less)

    assert f"{__file__}:" in str(caught.value)


def lambda_less(ctx: Context, number: int) -> int:
    return number


@step(name="def-told")
def told(ctx: Context, error: dict[str, Any]) -> None:
    return None


WORKFLOW_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"timeout": timedelta(0)}, "above zero"),
    ({"retention": "30"}, "retention='30'"),
    ({"priority": 10}, "0 to 9"),
    ({"priority": True}, "0 to 9"),
    ({"singleton": "number"}, "a function of the inputs"),
    ({"singleton": lambda: 1}, "the key of singleton is given number"),
    ({"idempotency": lambda a, b: a}, "the key of idempotency"),
    ({"debounce": timedelta(1)}, "a Debounce"),
    ({"debounce": Debounce(timedelta(1), key=lambda: 1)}, "the key of debounce"),
    ({"singleton": str, "debounce": Debounce(timedelta(1))}, "exclude each other"),
    ({"on_failure": two}, "its parameter does not take that"),
    ({"on_failure": "def-told"}, "takes a step of one value"),
    ({"schedule": "daily"}, "an Every or a Cron"),
    ({"schedule": Every(minutes=1)}, "brings no input"),
    ({"retries": 3}, "no option retries; there are"),
]


@pytest.mark.parametrize(("options", "says"), WORKFLOW_OPTIONS)
def test_options_of_a_workflow_say_what_they_take(options: dict[str, Any], says: str) -> None:
    def optional(number: int) -> int:
        return two(number)

    with pytest.raises(DefinitionError, match=says) as caught:
        workflow(name="def/options", **options)(optional)

    assert f"{__file__}:" in str(caught.value)


def test_options_of_a_workflow_are_kept() -> None:
    @workflow(
        name="def/kept",
        retention=60,
        priority=3,
        concurrency=Limit(2, key=lambda number: number),
        idempotency=lambda number: str(number),
        on_failure=told,
    )
    def made(number: int) -> int:
        return two(number)

    assert made.options_.retention == timedelta(minutes=1)
    assert (made.options_.priority, made.options_.on_failure) == (3, "def-told")
    assert made.options_.concurrency is not None
    assert key_of(made.options_.concurrency, {"number": 5}) == "5"


def test_long_keys_are_told_apart_and_odd_ones_can_be_stored() -> None:
    first, second = (key_text("x" * 300 + end) for end in "ab")

    assert first != second
    assert len(first) == len(second) == MAX_KEY
    assert key_text("a\0\ud800") == "a\\0\\ud800"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Limit(0), "1 or more"),
        (lambda: Limit(1, key="id"), "a function of the inputs"),  # type: ignore[arg-type]
        (lambda: Rate(1, per=timedelta(0)), "above zero"),
        (lambda: Rate(1, per=60), "above zero"),  # type: ignore[arg-type]
        (lambda: Debounce(timedelta(0)), "above zero"),
    ],
)
def test_limits_of_wrong_types_are_refused(make: Callable[[], Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        make()

    assert f"{__file__}:" in str(caught.value)


class Unfinished(BaseModel):
    later: "Later"  # type: ignore[name-defined]  # noqa: F821 - the point


def test_types_that_are_never_defined_are_refused_when_the_plan_is_made() -> None:
    @step(name="def-unfinished")
    def unfinished(ctx: Context, value: Unfinished) -> None:
        return None

    @workflow(name="def/unfinished")
    def made(value: Unfinished) -> None:
        unfinished(value)

    with pytest.raises(DefinitionError, match=r"or call model_rebuild\(\)") as caught:
        registry.seal()

    assert f"{__file__}:" in str(caught.value)


def test_a_plan_s_hash_is_the_same_in_every_process() -> None:
    program = (
        "import django; django.setup();"
        "from jobs.registry import registry;"
        "print(registry.workflow('restock/create').plan.hash)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "counterpoint.settings"}
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**environment, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert hashes == {registry.workflow("restock/create").plan.hash + "\n"}
