"""The point of no return, met by what happens at the same time."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings

from jobs import Context, attempts, execution, parallel, services, step, workflow
from jobs.errors import RunRefused
from jobs.models import Run, StepRun
from jobs.transitions import claims, runs
from jobs.transitions.claims import Claim
from tests.jobs import flows, limited
from tests.jobs.conftest import Post, pass_time
from tests.jobs.vocabulary import plain

pytestmark = pytest.mark.usefixtures("behaviour")


@workflow(name="pivot/beside")
def beside(number: int) -> int | None:
    left, _ = parallel(plain.options(name="pivot-beside")(number), limited.pivot(number))
    return left


def claim(run: Any, node: str) -> Claim:
    row = StepRun.objects.get(run=run.pk, node=node)
    held, _ = claims.claim(row.pk, worker="slow", lease=settings.JOBS_LEASE)
    assert held is not None
    return held


def test_a_sibling_that_fails_behind_the_pivot_is_tried_forward(post: Post) -> None:
    run = beside.start(1, company="acme")
    held = claim(run, "pivot-beside")
    post.deliver_all()
    assert Run.objects.get(pk=run.pk).pivoted

    flows.MISBEHAVIOUR["pivot-beside"] = flows.fail_for_good
    with pytest.raises(attempts.StepFailed):
        attempts.run(held, None)
    flows.MISBEHAVIOUR.clear()

    assert post.run_to_the_end(run).status == "succeeded"


def test_no_cancel_comes_between_a_pivot_and_its_refusal(post: Post) -> None:
    run = limited.pivoting.start(1, company="acme")
    post.deliver_one()
    post.deliver_one()

    assert not runs.stop(run.pk, why=Run.Stop.CANCELLED, error=None)
    with pytest.raises(RunRefused):
        services.cancel(run.pk, reason="no", by="ann")


def test_a_child_past_its_point_of_no_return_goes_on_though_its_parent_stops(
    post: Post,
) -> None:
    run = limited.over_pivot.start(1, company="acme")
    while not Run.objects.filter(workflow="lim/pivot", pivoted=True).exists():
        post.deliver_one()

    services.cancel(run.pk, reason="no", by="ann")
    ended = post.run_to_the_end(run)

    assert Run.objects.get(workflow="lim/pivot").status == "succeeded"
    assert (ended.status, ended.rollback) == ("cancelled", "incomplete")


@step(name="pivot-key", attempts=1)
def charging(ctx: Context, number: int | None) -> int | None:
    keys_seen.append(ctx.idempotency_key)
    if len(keys_seen) == 1:
        raise RuntimeError("nobody knows whether it happened")
    return number


keys_seen: list[str] = []


@workflow(name="pivot/key", timeout=timedelta(hours=1))
def forward_only(number: int) -> int | None:
    return charging(limited.pivot(number))


@workflow(name="pivot/plain-key")
def not_undone(number: int) -> int | None:
    return charging(number)


@pytest.mark.parametrize("flow", [forward_only, not_undone])
def test_a_retry_of_a_run_that_was_not_undone_keeps_its_keys(post: Post, flow: Any) -> None:
    keys_seen.clear()
    run = flow.start(1, company="acme")
    post.deliver_all()
    if flow is forward_only:
        Run.objects.filter(pk=run.pk).update(deadline_at="2020-01-01T00:00Z")
        services.sweep()
    assert Run.objects.get(pk=run.pk).status == "failed"

    services.retry(run.pk, reason="mended", by="ann")

    assert post.run_to_the_end(run).status == "succeeded"
    assert keys_seen == [f"{run.pk}/pivot-key/1"] * 2


def test_a_failed_child_is_tried_forward_behind_the_pivot(post: Post) -> None:
    flows.MISBEHAVIOUR["pivot-inner"] = flows.fail_for_good
    run = around.start(1, company="acme")
    post.deliver_all()
    flows.MISBEHAVIOUR.clear()
    for _ in range(5):
        pass_time()
        services.sweep()
        post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "succeeded"


@workflow(name="pivot/inner")
def inner(number: int | None) -> int | None:
    return plain.options(name="pivot-inner")(plain(number))


@workflow(name="pivot/around")
def around(number: int) -> int | None:
    return inner(limited.pivot(number))


@workflow(name="pivot/both")
def both(number: int) -> int | None:
    limited.pivot.options(name="pivot-outer")(number)
    return limited.pivoting(number)


def time_out(name: str) -> None:
    Run.objects.filter(workflow=name, finished_at=None).update(deadline_at="2020-01-01T00:00Z")
    services.sweep()


def test_a_retry_goes_on_with_the_child_that_is_past_its_own_point_of_no_return(
    post: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["lim-forward"] = flows.fail_for_good
    run = both.start(1, company="acme")
    post.deliver_all()
    time_out("lim/pivot")
    post.deliver_all()
    time_out("pivot/both")
    for _ in range(3):
        post.deliver_all()
        pass_time()
        time_out("lim/pivot")
    assert post.run_to_the_end(run).rollback == "incomplete"
    flows.MISBEHAVIOUR.clear()

    services.retry(run.pk, reason="mended", by="ann")

    assert post.run_to_the_end(run).status == "succeeded"
    assert Run.objects.filter(workflow="lim/pivot").count() == 1
    assert calls.count("word-plain") == 1


def test_behind_the_pivot_no_child_is_tried_again_when_the_time_is_over(post: Post) -> None:
    flows.MISBEHAVIOUR["lim-forward"] = flows.fail_for_good
    run = both.start(1, company="acme")
    post.deliver_all()
    time_out("pivot/both")
    time_out("lim/pivot")
    post.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert (ended.status, ended.rollback) == ("failed", "incomplete")
    assert Run.objects.get(workflow="lim/pivot").generation == 1


def test_a_child_behind_the_pivot_is_tried_until_the_time_is_over(post: Post) -> None:
    flows.MISBEHAVIOUR["pivot-inner"] = flows.fail_for_good
    run = around.start(1, company="acme")
    for _ in range(30):
        post.deliver_all()
        pass_time()
        services.sweep()
    assert Run.objects.get(workflow="pivot/inner").generation > execution.TRIES
    flows.MISBEHAVIOUR.clear()

    assert post.run_to_the_end(run).status == "succeeded"
