"""What is too large for a row is refused where it comes from, with what to do instead."""

from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from jobs import (
    Context,
    Done,
    PermanentFailure,
    each,
    parallel,
    services,
    step,
    wait_for,
    workflow,
)
from jobs.definitions import Workflow
from jobs.errors import InvalidInput
from jobs.models import Run, Signal, StepRun
from jobs.testing import run_inline

LIMIT = 2048
PASS_A_REFERENCE = r"2,0\d\d bytes as JSON, and 2,048 are allowed .* pass a reference"


@step(name="size-echo")
def echo(ctx: Context, text: str) -> str:
    return text


@step(name="size-twice")
def twice(ctx: Context, text: str) -> str:
    return text * 2


@step(name="size-undo")
def large_undo(ctx: Context, text: str, way: str) -> Done[str]:
    if way == "undo_with":
        ctx.undo_with(text * 2)
    if way == "failure":
        raise PermanentFailure("no", undo=text * 2)
    return Done(text, undo=text * 2)


@large_undo.compensation
def undo_large(ctx: Context, text: str) -> None:
    """Take what is left to undo."""


@step(name="size-memo")
def large_memo(ctx: Context, text: str) -> str:
    return ctx.run("double", lambda: text * 2)[:10]


@workflow(name="size/echo")
def echoing(text: str) -> str:
    return echo(text)


@workflow(name="size/keyed", idempotency=lambda text: text[:5])
def keyed(text: str) -> str:
    return echo(text)


@workflow(name="size/twice")
def doubling(text: str) -> str:
    return twice(text)


@workflow(name="size/undo")
def undoing(text: str, way: str) -> str:
    return large_undo(text, way)


@workflow(name="size/memo")
def memoising(text: str) -> str:
    return large_memo(text)


@workflow(name="size/two")
def two(left: str, right: str) -> str:
    echo(left)
    return echo(right)


@workflow(name="size/parent")
def parent(text: str) -> str:
    return two(text, text)


@step(name="size-count")
def count(ctx: Context, texts: list[str]) -> int:
    return len(texts)


@workflow(name="size/list")
def listing(texts: list[str]) -> list[str]:
    return each(texts, twice)


@workflow(name="size/counted")
def counting(texts: list[str]) -> int:
    return count(each(texts, twice))


@workflow(name="size/first")
def first(texts: list[str]) -> str:
    return echo(each(texts, twice)[0])


@workflow(name="size/pair")
def pairing(text: str) -> tuple[str, str]:
    left, right = parallel(echo(text), echo(text))
    return left, right


@workflow(name="size/waiting")
def waiting(text: str) -> Any:
    echo(text)
    return wait_for("size.event", timeout=timedelta(days=1))


@pytest.fixture(autouse=True)
def _small(settings: Settings, db: None) -> None:
    settings.JOBS_MAX_VALUE_BYTES = LIMIT


def text_of_json_size(size: int, *, around: str = '{"text":""}') -> str:
    return "x" * (size - len(around))


def test_input_up_to_the_limit_starts_a_run() -> None:
    run = run_inline(echoing, text_of_json_size(LIMIT), company="acme")

    assert run.status == "succeeded"


@pytest.mark.parametrize("flow", [echoing, keyed])
def test_larger_input_starts_nothing(flow: Workflow[..., str]) -> None:
    text = text_of_json_size(LIMIT + 1)

    with pytest.raises(InvalidInput, match=PASS_A_REFERENCE) as caught:
        flow.start(text, company="acme")
    with pytest.raises(InvalidInput, match=PASS_A_REFERENCE):
        services.start_workflow(flow.name, text, company="acme")

    assert caught.value.issues[0]["type"] == "too_large"
    assert not Run.objects.exists()


def test_the_size_is_that_of_the_bytes() -> None:
    with pytest.raises(InvalidInput, match=PASS_A_REFERENCE):
        echoing.start("€" * (LIMIT // 3), company="acme")


@pytest.mark.parametrize("flow", [echoing, keyed])
def test_of_many_each_that_is_too_large_is_named(flow: Workflow[..., str]) -> None:
    large = text_of_json_size(LIMIT + 1)

    with pytest.raises(InvalidInput) as caught:
        flow.start_many(["small", large, "small", large], company="acme")

    assert [issue["loc"] for issue in caught.value.issues] == [(1,), (3,)]
    assert not Run.objects.exists()


def test_a_child_run_s_larger_input_fails_its_step() -> None:
    run = run_inline(parent, text_of_json_size(LIMIT // 2 + 20), company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"]) == ("failed", "InvalidInput")
    assert run.error["node"] == "size/two"
    assert "pass a reference" in run.error["message"]
    assert Run.objects.count() == 1


def test_a_larger_output_fails_its_step_at_once() -> None:
    run = run_inline(doubling, text_of_json_size(LIMIT), company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"]) == ("failed", "InvalidOutput")
    assert "pass a reference" in run.error["message"]
    assert StepRun.objects.get(run=run).attempts == 1


@pytest.mark.parametrize("way", ["done", "undo_with", "failure"])
def test_larger_undo_data_fails_its_step_and_is_not_stored(way: str) -> None:
    run = run_inline(undoing, "x" * (LIMIT * 3 // 4), way, company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"]) == ("failed", "InvalidOutput")
    assert StepRun.objects.get(run=run).undo is None


def test_a_larger_memo_fails_its_step() -> None:
    run = run_inline(memoising, "x" * (LIMIT * 3 // 4), company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"]) == ("failed", "InvalidOutput")
    assert "result of double" in run.error["message"]


def test_a_larger_event_is_not_sent() -> None:
    run = run_inline(waiting, "x", company="acme", crash_at="claimed")

    with pytest.raises(InvalidInput, match="pass a reference"):
        run.send("size.event", {"text": "x" * LIMIT})

    assert not Signal.objects.exists()


TEXTS = ["x" * (LIMIT // 8)] * 5  # a quarter of the limit each, once doubled


def test_a_larger_result_fails_its_run() -> None:
    run = run_inline(listing, TEXTS, company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"], run.output) == ("failed", "InvalidOutput", None)
    assert "result of size/list" in run.error["message"]
    assert "pass a reference" in run.error["message"]


def test_a_result_of_two_outputs_is_limited_too() -> None:
    run = run_inline(pairing, "x" * (LIMIT - 20), company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"]) == ("failed", "InvalidOutput")


def test_a_larger_list_of_outputs_fails_the_step_that_takes_it() -> None:
    run = run_inline(counting, TEXTS, company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"]) == ("failed", "InvalidInput")
    assert run.error["node"] == "size-count"
    assert "input texts of size-count" in run.error["message"]
    assert "pass a reference" in run.error["message"]


def test_one_item_of_a_larger_list_is_passed_on() -> None:
    run = run_inline(first, TEXTS, company="acme")

    assert run.status == "succeeded"


def test_a_list_of_outputs_up_to_the_limit_is_passed_on() -> None:
    run = run_inline(counting, TEXTS[:3], company="acme")

    assert (run.status, run.output) == ("succeeded", 3)
