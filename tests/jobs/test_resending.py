"""The sweep sends again what nobody came for, and never fills a long queue with repeats."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db.models import F

from jobs import execution, services
from jobs.models import Run, StepRun
from tests.jobs import flows, vocabulary
from tests.jobs.conftest import WORKER, Post, pass_time

INTERVALS = 64  # of JOBS_RESEND_AFTER, that a message is left lying


def sends_while_nobody_comes(post: Post) -> list[int]:
    """Let time go by in half intervals; return the half intervals in which the sweep sent it."""
    post.waiting.clear()
    found = []
    for number in range(1, 2 * INTERVALS + 1):
        pass_time(settings.JOBS_RESEND_AFTER / 2)
        services.sweep()
        found += [number] * len(post.waiting)
        post.waiting.clear()
    return found


def test_a_ready_step_in_a_long_queue_is_sent_again_ever_more_seldom(post: Post) -> None:
    flows.chain.start(1, company="acme")

    sent = sends_while_nobody_comes(post)

    gaps = [after - before for before, after in zip([0, *sent], sent, strict=False)]
    assert gaps[0] == 2, "the first repeat comes after one interval: a message may have been lost"
    assert gaps == sorted(gaps), "each gap is as long as the step has waited"
    assert {*gaps[-3:]} <= {16, 17}, "and never above eight intervals"
    assert len(sent) <= 12


def test_a_step_that_failed_begins_with_the_shortest_interval_again(
    post: Post, behaviour: dict[str, Callable[[Any], Any]]
) -> None:
    behaviour["flow-a"] = flows.fail
    run = flows.chain.start(1, company="acme")
    assert len(sends_while_nobody_comes(post)) > 1
    with pytest.raises(execution.StepFailed):
        execution.perform(StepRun.objects.get(run=run.pk).pk, worker=WORKER)

    first, second, *_ = sends_while_nobody_comes(post)

    assert second - first == 2


def test_a_waiting_step_keeps_the_interval(post: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    post.deliver_all()
    services.send_event(run.pk, "payment.settled", {"order": "o-1"})

    sent = sends_while_nobody_comes(post)

    assert len(sent) == INTERVALS


def test_a_step_whose_worker_died_keeps_the_interval(post: Post) -> None:
    run = flows.chain.start(1, company="acme")
    StepRun.objects.update(
        status="running", worker="one that died", lease_until=F("due_at"), wake_at=F("due_at")
    )

    sent = sends_while_nobody_comes(post)

    assert len(sent) == INTERVALS
    assert Run.objects.get(pk=run.pk).status == "queued"
