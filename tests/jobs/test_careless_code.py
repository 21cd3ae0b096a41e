"""Authors' code that breaks the rules: its step fails, and nothing else does."""

import asyncio
from typing import Any

import pytest
from django.db import connection, transaction

from jobs import Context, Limit, PermanentFailure, Retry, step, transform, workflow
from jobs.models import Attempt, Definition, Run, StepRun
from tests.jobs import flows
from tests.jobs.conftest import Post
from tests.jobs.vocabulary import plain

pytestmark = pytest.mark.usefixtures("behaviour")


def _begin_by_hand() -> None:
    transaction.set_autocommit(False)
    Definition.objects.create(hash="left", workflow="careless", plan={})


def _enter_a_block() -> None:
    transaction.atomic().__enter__()
    Definition.objects.create(hash="left", workflow="careless", plan={})


@step(name="careless-open", attempts=2)
def opening(ctx: Context, how: str) -> int:
    {"by hand": _begin_by_hand, "block": _enter_a_block}[how]()
    raise RuntimeError("and then it fails")


@workflow(name="careless/open")
def opened(how: str) -> int:
    return opening(how)


@step(name="careless-open-atomic", attempts=2, atomic=True)
def opening_inside(ctx: Context, how: str) -> int:
    _enter_a_block()
    raise RuntimeError("and then it fails")


@workflow(name="careless/open-atomic")
def opened_inside(how: str) -> int:
    return opening_inside(how)


@pytest.mark.parametrize(
    ("flow", "how"), [(opened, "by hand"), (opened, "block"), (opened_inside, "block")]
)
def test_a_step_that_opens_a_transaction_and_fails_leaves_nothing_open(
    post: Post, flow: Any, how: str
) -> None:
    run = flow.start(how, company="acme")

    post.deliver_one()

    assert connection.get_autocommit()
    assert not connection.in_atomic_block
    ended = post.run_to_the_end(run)
    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "RuntimeError")
    assert Attempt.objects.filter(step_run__run=run.pk).count() == 2
    assert not Definition.objects.filter(workflow="careless").exists()


class Fickle:
    """A key that exists until the step has run."""

    def __init__(self) -> None:
        self.is_gone = False

    def __call__(self, number: int) -> str:
        if self.is_gone:
            raise RuntimeError("no key any more")
        return "key"


fickle = Fickle()


@step(name="careless-key", concurrency=Limit(1, key=lambda number: fickle(number)))
def keyed(ctx: Context, number: int) -> int:
    fickle.is_gone = True
    return number


@workflow(name="careless/key")
def keyed_then_more(number: int) -> int:
    return flows.plain(keyed(number))


def test_a_key_that_fails_after_its_step_has_run_costs_the_next_step_nothing(ways: Post) -> None:
    fickle.is_gone = False
    run = keyed_then_more.start(7, company="acme")

    ways.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "succeeded"


@step(name="careless-list", concurrency=Limit(1, key=lambda names: names[0]))
def changing(ctx: Context, names: list[str]) -> int:
    names[0] = "another"
    return len(names)


@workflow(name="careless/list")
def changed(names: list[str]) -> int:
    return changing(names)


def test_a_step_that_changes_its_arguments_gives_back_the_place_that_it_had(post: Post) -> None:
    first = changed.start(["one"], company="acme")
    second = changed.start(["one"], company="acme")
    waiting = StepRun.objects.get(run=second.pk)
    waiting.limit_name, waiting.limit_key = "step careless-list", "one"
    StepRun.objects.filter(pk=waiting.pk).update(
        status="waiting",
        limit_name="step careless-list",
        limit_key="one",
        due_at="2100-01-01T00:00Z",
    )
    post.waiting = [one for one in post.waiting if one.run_id == first.pk]

    post.deliver_one()

    assert [one.run_id for one in post.waiting] == [second.pk]


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


def _unspeakable(ctx: Context) -> None:
    raise Unspeakable


def _cancelled(ctx: Context) -> None:
    raise asyncio.CancelledError


def _group(ctx: Context) -> None:
    raise BaseExceptionGroup("two", [SystemExit(3), KeyboardInterrupt()])


class OwnWay(PermanentFailure):
    def __init__(self) -> None:
        Exception.__init__(self, "in its own way")


class OwnRetry(Retry):
    def __init__(self) -> None:
        Exception.__init__(self, "in its own way")


def _own_way(ctx: Context) -> None:
    raise OwnWay


def _own_retry(ctx: Context) -> None:
    raise OwnRetry


def _long(ctx: Context) -> None:
    raise ValueError("x" * 1_000_000)


@pytest.mark.parametrize("failure", [_unspeakable, _cancelled, _group, _long, _own_way, _own_retry])
def test_whatever_a_step_raises_is_a_failed_attempt(post: Post, failure: Any) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = failure
    run = flows.skipping.start(1, company="acme")

    ended = post.run_to_the_end(run)

    assert ended.status == "failed"
    assert ended.error is not None
    assert len(ended.error["message"]) < 20_000
    outcomes = Attempt.objects.filter(step_run__node="flow-plain").values_list("outcome")
    assert set(outcomes) == {("failed",)}


def leave(number: int | None) -> int:
    raise SystemExit(1)


@workflow(name="careless/exit")
def exiting(number: int) -> int | None:
    return plain.options(name="careless-after")(transform(leave, plain(number)))


def test_a_function_that_exits_fails_its_run(post: Post) -> None:
    run = exiting.start(1, company="acme")

    ended = post.run_to_the_end(run)

    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "SystemExit")


def exit_key(number: int) -> str:
    raise SystemExit(1)


@step(name="careless-exit-key", concurrency=Limit(1, key=exit_key))
def exit_keyed(ctx: Context, number: int) -> int:
    return number


@workflow(name="careless/exit-key")
def exit_keyed_flow(number: int) -> int:
    return exit_keyed(number)


def test_a_key_function_that_exits_fails_its_run(post: Post) -> None:
    run = exit_keyed_flow.start(1, company="acme")

    assert post.run_to_the_end(run).status == "failed"


@step(name="careless-nothing", atomic=True)
def doing_nothing(ctx: Context, number: int) -> int:
    return number


@workflow(name="careless/nothing")
def nothing_done(number: int) -> int:
    return doing_nothing(number)


def test_an_atomic_step_may_say_nothing_to_the_database(ways: Post) -> None:
    run = nothing_done.start(1, company="acme")

    ways.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "succeeded"
    assert Attempt.objects.count() == 1
