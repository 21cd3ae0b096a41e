"""An `each` and a wide group send messages as workers come for them, not one for each step."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from jobs import Context, PermanentFailure, each, parallel, step, transform, workflow
from jobs.models import Join, Run, StepRun
from jobs.ways import FIRST_MESSAGES
from tests.jobs.conftest import Post

ITEMS = 60
MOST = 25


@step(name="demand-item")
def item(ctx: Context, number: int) -> int:
    return number


def numbers(count: int) -> list[int]:
    return list(range(count))


@workflow(name="demand/each")
def demanding(count: int) -> int:
    return transform(sum, each(transform(numbers, count), item, max_parallel=MOST))


def to_the_items(post: Post) -> None:
    """Deliver until the items' messages are what waits."""
    while not any(wake_up.task == "demand-item" for wake_up in post.waiting):
        post.deliver_one()


def test_workers_that_come_for_items_bring_more_messages_up_to_the_most(post: Post) -> None:
    run = demanding.start(ITEMS, company="acme")
    to_the_items(post)
    first = len(post.waiting)

    seen, live = [], []
    while any(wake_up.task == "demand-item" for wake_up in post.waiting):
        seen.append(len(post.waiting))
        live.append(Join.objects.get(run_id=run.pk).live)
        post.deliver_one()

    assert first == FIRST_MESSAGES
    assert max(live) == MOST
    assert max(seen) == MOST
    assert post.run_to_the_end(run).output == sum(range(ITEMS))


def test_one_worker_needs_few_messages(post: Post, settings: Settings) -> None:
    settings.JOBS_IN_PLACE = timedelta(minutes=5)
    run = demanding.start(ITEMS, company="acme")
    post.deliver_one()

    assert len(post.waiting) == FIRST_MESSAGES
    post.deliver_one()  # one asks for another, and goes on with all that wait for none
    post.deliver_all()

    items = [wake_up for wake_up in post.delivered if wake_up.task == "demand-item"]
    assert len(items) == FIRST_MESSAGES + 1
    assert post.run_to_the_end(run).output == sum(range(ITEMS))


def test_items_that_all_fail_hold_up_no_others(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ctx: Context, number: int) -> int:
        raise OSError

    monkeypatch.setattr(item, "fn", fail)
    run = demanding.start(ITEMS, company="acme")

    post.deliver_all()  # every one that is sent fails and waits for its second attempt

    tried = StepRun.objects.filter(run=run.pk, each="demand-item", attempts=1)
    assert tried.count() == MOST


@step(name="demand-branch")
def branch(ctx: Context, number: int) -> int:
    return number


@branch.compensation
def undo_branch(ctx: Context, number: int) -> None:
    UNDONE.append(number)


@step(name="demand-elsewhere", queue="webhooks")
def elsewhere(ctx: Context, number: int) -> int:
    return number


@step(name="demand-end")
def end(ctx: Context, numbers: list[int]) -> int:
    if sum(numbers) < 0:
        raise PermanentFailure("less than nothing")
    return sum(numbers)


UNDONE: list[int] = []


@workflow(name="demand/group")
def wide(number: int) -> int:
    """A group of forty on one queue and fourteen on another."""
    here, there = [branch(number) for _ in range(40)], [elsewhere(number) for _ in range(14)]
    return end(list(parallel(*here, *there)))


def of_the_group(post: Post) -> list[str]:
    return [wake_up.task for wake_up in post.waiting]


def test_a_wide_group_sends_the_first_few_of_each_queue(post: Post) -> None:
    run = wide.start(1, company="acme")

    assert of_the_group(post) == ["demand-branch"] * 10 + ["demand-elsewhere"] * 10
    post.deliver_one()  # and two more: one that its worker asks for, one in its own place
    assert (
        of_the_group(post)
        == ["demand-branch"] * 9 + ["demand-elsewhere"] * 10 + ["demand-branch"] * 2
    )
    post.deliver_all()
    assert Run.objects.get(pk=run.pk).output == 54
    assert not StepRun.objects.filter(run=run.pk, attempts__gt=1).exists()


def test_one_worker_takes_the_branches_of_its_queue_in_place(
    post: Post, settings: Settings
) -> None:
    settings.JOBS_IN_PLACE = timedelta(minutes=5)
    run = wide.start(1, company="acme")

    post.deliver_one()

    assert of_the_group(post) == ["demand-branch"] * 9 + ["demand-elsewhere"] * 10 + [
        "demand-branch"
    ]
    post.deliver_all()
    assert Run.objects.get(pk=run.pk).output == 54
    assert len(post.delivered) == 11 + 11 + 1  # the end's queue is not that of the last branch


def test_a_rollback_of_a_wide_group_undoes_each_branch_once(ways: Post) -> None:
    UNDONE.clear()
    run = wide.start(-1, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert UNDONE == [-1] * 40


def test_a_cancelled_run_starts_none_of_the_branches_that_were_not_sent(post: Post) -> None:
    run = wide.start(1, company="acme")
    post.deliver_one()

    run.cancel(reason="not wanted")
    post.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert (ended.status, ended.rollback) == ("cancelled", "complete")
    assert StepRun.objects.filter(run=run.pk, status="succeeded", phase="forward").count() == 1
    assert StepRun.objects.filter(run=run.pk, status="stopped").count() == 53


def test_the_sweep_sends_what_nobody_came_for(post: Post) -> None:
    run = wide.start(1, company="acme")
    post.waiting.clear()

    ended = post.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", 54)
    assert len(post.delivered) == 54 + 1
