"""An `each` sends messages as workers come for them, not one for each of its items."""

from datetime import timedelta

import pytest
from pytest_django import Settings

from jobs import Context, each, step, transform, workflow
from jobs.models import Join, StepRun
from jobs.services.unfolding import FIRST
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

    assert first == FIRST
    assert max(live) == MOST
    assert max(seen) == MOST
    assert post.run_to_the_end(run).output == sum(range(ITEMS))


def test_one_worker_needs_few_messages(post: Post, settings: Settings) -> None:
    settings.JOBS_IN_PLACE = timedelta(minutes=5)
    run = demanding.start(ITEMS, company="acme")
    post.deliver_one()

    assert len(post.waiting) == FIRST
    post.deliver_one()  # one asks for another, and goes on with all that wait for none
    post.deliver_all()

    items = [wake_up for wake_up in post.delivered if wake_up.task == "demand-item"]
    assert len(items) == FIRST + 1
    assert post.run_to_the_end(run).output == sum(range(ITEMS))


def test_items_that_all_fail_hold_up_no_others(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(ctx: Context, number: int) -> int:
        raise OSError

    monkeypatch.setattr(item, "fn", fail)
    run = demanding.start(ITEMS, company="acme")

    post.deliver_all()  # every one that is sent fails and waits for its second attempt

    tried = StepRun.objects.filter(run=run.pk, each="demand-item", attempts=1)
    assert tried.count() == MOST
