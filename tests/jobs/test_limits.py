"""Limits over all workers, and what starts of one key become."""

from datetime import timedelta
from typing import Any

import pytest

from jobs import services
from jobs.errors import IdempotencyConflict
from jobs.models import Attempt, Hold, Run, StepRun
from jobs.transitions import claims
from tests.jobs import flows, limited
from tests.jobs.conftest import Post, pass_time

pytestmark = pytest.mark.usefixtures("behaviour")


def begin(post: Post, count: int) -> list[StepRun]:
    """Start runs and take a place for each of their steps, as workers that are busy would."""
    for number in range(count):
        limited.limited.start("acme", number, company="acme")
    return list(StepRun.objects.order_by("id"))


def test_a_step_without_a_place_waits_without_using_an_attempt(post: Post) -> None:
    rows = begin(post, 1)
    hold_places(2)

    post.deliver_all()

    row = StepRun.objects.get(pk=rows[0].pk)
    assert (row.status, row.waiting_for, row.attempts) == ("waiting", "limit", 0)
    assert Run.objects.get(pk=rows[0].run_id).status == "waiting"
    assert not Attempt.objects.exists()


def hold_places(count: int) -> list[StepRun]:
    """Make steps that run, with leases, and hold places of the company acme."""
    made = []
    for number in range(count):
        run = limited.limited.start("acme", 100 + number, company="other")
        row = StepRun.objects.get(run=run.pk)
        held, _ = claims.claim(row.pk, worker="busy", lease=timedelta(minutes=1))
        assert held is not None
        name = "step lim-slot"
        Hold.objects.create(name=name, key="acme", run_id=run.pk, step_run=row, fence=held.fence)
        made.append(row)
    return made


def test_the_place_of_a_dead_worker_falls_free_with_its_lease(post: Post) -> None:
    (row,) = begin(post, 1)
    held = hold_places(2)
    post.waiting = post.waiting[:1]
    post.deliver_all()
    assert StepRun.objects.get(pk=row.pk).status == "waiting"

    StepRun.objects.filter(pk=held[0].pk).update(lease_until="2020-01-01T00:00Z")
    pass_time_of(row)
    services.sweep()
    post.waiting = [one for one in post.waiting if one.step_run_id == row.pk]
    post.deliver_all()

    assert StepRun.objects.get(pk=row.pk).status == "succeeded"


def pass_time_of(row: StepRun) -> None:
    StepRun.objects.filter(pk=row.pk).update(
        due_at="2020-01-01T00:00Z", wake_at="2020-01-01T00:00Z"
    )


def test_a_place_given_back_wakes_the_first_in_line(post: Post) -> None:
    rows = begin(post, 3)
    hold_places(1)
    order: list[int] = []
    inside = {"lim-slot": lambda ctx: order.append(ctx.input["number"])}
    flows.MISBEHAVIOUR.update(inside)
    first = post.waiting.pop(0)
    later = post.waiting[:2]
    post.waiting = []

    def others_ask_meanwhile(ctx: object) -> None:
        del flows.MISBEHAVIOUR["lim-slot"]
        flows.MISBEHAVIOUR.update(inside)
        post.waiting += later
        post.deliver_all()
        waiting = StepRun.objects.filter(waiting_for="limit")
        assert set(waiting.values_list("pk", flat=True)) == {rows[1].pk, rows[2].pk}

    flows.MISBEHAVIOUR["lim-slot"] = others_ask_meanwhile
    post.waiting = [first]
    post.deliver_all()

    assert order == [1, 2]
    assert StepRun.objects.filter(waiting_for="limit").count() == 0


def test_no_window_sees_more_starts_than_its_rate(post: Post, calls: list[str]) -> None:
    for number in range(5):
        limited.limited_rate.start(number, company="acme")

    post.deliver_all()

    waiting = StepRun.objects.filter(waiting_for="limit").order_by("due_at")
    assert (len(calls), waiting.count()) == (2, 3)
    last = waiting.last()
    first = waiting.first()
    assert first is not None
    assert last is not None
    assert last.due_at - first.due_at > timedelta(minutes=50)  # spread over the windows to come


def test_runs_of_one_key_go_one_after_the_other(post: Post, calls: list[str]) -> None:
    first = limited.limited_runs.start(1, company="acme")
    second = limited.limited_runs.start(3, company="acme")
    other = limited.limited_runs.start(2, company="acme")

    for _ in range(3):
        post.deliver_one()  # the admissions

    assert Run.objects.get(pk=second.pk).waiting_for == "limit"
    post.deliver_all()
    statuses = {
        run.pk: run.status for run in Run.objects.filter(pk__in=[first.pk, second.pk, other.pk])
    }
    assert set(statuses.values()) == {"succeeded"}
    started = Run.objects.get(pk=first.pk).finished_at
    assert started is not None
    seconds = StepRun.objects.get(run=second.pk, node="lim-first").started_at
    assert seconds is not None
    assert seconds > started


def test_a_second_start_of_a_live_singleton_gives_the_same_run(post: Post) -> None:
    first = limited.single.start("a", company="acme")
    again = limited.single.start("a", company="acme")
    other = limited.single.start("a", company="globex")
    post.deliver_all()
    later = limited.single.start("a", company="acme")

    assert again.pk == first.pk
    assert len({first.pk, other.pk, later.pk}) == 3


def test_a_debounced_run_waits_for_quiet_and_takes_the_last_input(
    post: Post, calls: list[str]
) -> None:
    first = limited.debounced.start("a", 1, company="acme")
    due = StepRun.objects.get(run=first.pk).due_at
    second = limited.debounced.start("a", 2, company="acme")
    limited.debounced.start("b", 9, company="acme")

    assert second.pk == first.pk
    assert StepRun.objects.get(run=first.pk).due_at > due
    assert post.waiting == []
    pass_time()
    services.sweep()
    post.deliver_all()
    assert Run.objects.get(pk=first.pk).output == 2
    assert limited.debounced.start("a", 3, company="acme").pk != first.pk


def test_a_delayed_run_is_not_due_before(post: Post) -> None:
    run = limited.low.start(1, company="acme", delay=timedelta(hours=2))
    assert post.waiting == []
    services.sweep()
    assert post.waiting == []
    pass_time(timedelta(hours=3))
    services.sweep()
    post.deliver_all()
    assert Run.objects.get(pk=run.pk).status == "succeeded"


def test_a_ready_step_of_higher_priority_goes_first(post: Post, calls: list[str]) -> None:
    limited.low.start(1, company="acme")
    limited.low.start(2, company="acme")
    limited.high.start(3, company="acme")

    post.deliver_one()

    assert calls == ["lim-high"]
    post.deliver_all()
    assert calls == ["lim-high", "lim-low", "lim-low"]


def test_the_idempotency_key_may_come_from_the_input(post: Post) -> None:
    first = limited.keyed.start(3, company="acme")
    again = limited.keyed.start(3, company="acme")

    assert first.pk == again.pk
    with pytest.raises(IdempotencyConflict):
        limited.keyed.start(13, company="acme")


def test_thousands_start_in_one_go(post: Post) -> None:
    runs = limited.low.start_many(range(2000), company="acme")

    assert len(runs) == len(post.waiting) == 2000
    post.waiting = post.waiting[:3]
    post.deliver_all()
    assert Run.objects.filter(status="succeeded").count() == 3


@pytest.mark.parametrize("flow", [limited.broken_step, limited.broken_run])
def test_a_limit_whose_key_fails_fails_the_run_and_says_so(post: Post, flow: Any) -> None:
    run = flow.start(1, company="acme")

    ended = post.run_to_the_end(run)

    assert ended.status == "failed"
    assert ended.error is not None
    assert "key function" in ended.error["message"]
