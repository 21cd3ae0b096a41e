"""A child run behind the point of no return: what failed is tried again, as any step is there."""

from datetime import timedelta

import pytest

from jobs import Context, services, step, workflow
from jobs.models import Run, StepRun
from tests.jobs import flows
from tests.jobs.conftest import Post
from tests.jobs.limited import pivot
from tests.jobs.vocabulary import note, plain

pytestmark = pytest.mark.usefixtures("behaviour")


@step(name="lim-inner", attempts=1)
def inner(ctx: Context, number: int | None) -> int | None:
    note(ctx)
    return number


@workflow(name="lim/inner")
def inside(number: int | None) -> int | None:
    return inner(number)


@workflow(name="lim/child-behind-pivot", timeout=timedelta(hours=1))
def child_behind_pivot(number: int) -> int | None:
    return plain.options(name="lim-behind")(inside(pivot(number)))


def deliver_until_put_off(post: Post) -> None:
    post.deliver_all()
    step = StepRun.objects.get(node="lim/inner")
    assert step.status == "ready"
    assert step.error is not None
    assert step.error["type"] == "ChildRunFailed"


def test_a_child_run_that_failed_behind_a_pivot_is_retried(ways: Post) -> None:
    flows.MISBEHAVIOUR["lim-inner"] = flows.fail
    run = child_behind_pivot.start(3, company="acme")
    deliver_until_put_off(ways)
    flows.MISBEHAVIOUR.clear()

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", 3)
    child = Run.objects.get(parent__run=run.pk)
    assert (child.status, child.generation) == ("succeeded", 2)


def test_a_child_run_that_could_not_undo_itself_waits_for_a_person(ways: Post) -> None:
    flows.MISBEHAVIOUR["lim-inner"] = flows.fail
    run = child_behind_pivot.start(3, company="acme")
    deliver_until_put_off(ways)
    flows.MISBEHAVIOUR.clear()
    child = Run.objects.get(parent__run=run.pk)
    Run.objects.filter(pk=child.pk).update(rollback="incomplete")

    StepRun.objects.filter(node="lim/inner").update(due_at=child.created_at)
    StepRun.objects.filter(node="lim/inner").update(wake_at=child.created_at)
    services.sweep()
    deliver_until_put_off(ways)

    Run.objects.filter(pk=child.pk).update(rollback="complete")  # as by hand
    assert ways.run_to_the_end(run).output == 3
