"""A worker is lost while its run stops: what it was at is not begun again, and is undone."""

import pytest
from django.conf import settings

from jobs import services
from jobs.models import Attempt, StepRun
from jobs.transitions import claims
from tests.jobs import flows, vocabulary
from tests.jobs.conftest import WORKER, Post

pytestmark = pytest.mark.usefixtures("behaviour")


def take(step_run_id: int, *, undo: str | None = None) -> None:
    """Claim a step as a worker that is killed then, having saved its undo data if any is given."""
    held, _ = claims.claim(step_run_id, worker=WORKER, lease=settings.JOBS_LEASE)
    assert held is not None
    assert undo is None or claims.save_undo(held, undo)


@pytest.mark.parametrize(
    ("undo", "undone", "rollback"),
    [
        (None, [], "not_needed"),
        ('{"saved": 5}', ["flow-saving.compensate({'saved': 5})"], "complete"),
    ],
)
def test_a_step_lost_in_a_cancelled_run_is_undone_and_not_begun_again(
    post: Post, calls: list[str], undo: str | None, undone: list[str], rollback: str
) -> None:
    run = flows.saving_flow.start(5, company="acme")
    step_run = StepRun.objects.get(run_id=run.pk)
    take(step_run.pk, undo=undo)
    services.cancel(run.pk, reason="no", by="ann")

    ended = post.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("cancelled", rollback)
    assert calls == undone
    step_run.refresh_from_db()
    assert (step_run.status, step_run.attempts) == ("stopped", 1)
    lost = Attempt.objects.get(step_run=step_run)
    assert (lost.number, lost.outcome) == (1, "lost")


def test_a_step_keeps_its_lease_in_a_run_that_stops(post: Post) -> None:
    run = flows.saving_flow.start(5, company="acme")
    step_run = StepRun.objects.get(run_id=run.pk)
    take(step_run.pk)
    services.cancel(run.pk, reason="no", by="ann")

    post.deliver_all()
    services.sweep()

    step_run.refresh_from_db()
    assert step_run.status == "running"
    assert not Attempt.objects.exists()


def test_a_lost_item_of_a_list_does_not_hold_up_the_end(post: Post, calls: list[str]) -> None:
    run = vocabulary.squares.start(3, 1, company="acme")
    post.deliver_one()  # the list
    post.deliver_one()  # its items
    item = StepRun.objects.get(run_id=run.pk, item=0)
    take(item.pk)
    services.cancel(run.pk, reason="no", by="ann")

    ended = post.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("cancelled", "not_needed")
    assert calls == ["word-list"]


def test_what_a_sibling_s_worker_lost_is_not_begun_again_when_the_run_fails(
    post: Post, calls: list[str]
) -> None:
    run = flows.pair.start(1, company="acme")
    post.deliver_one()
    first, second = StepRun.objects.filter(run_id=run.pk, status="ready").order_by("pk")
    take(first.pk)
    flows.MISBEHAVIOUR[second.node] = flows.fail_for_good

    ended = post.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert [call for call in calls if call.startswith(first.node)] == []
    assert calls[-1] == "flow-a.compensate(2)"
