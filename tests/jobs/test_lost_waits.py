"""A worker that dies when a wait begins or ends: the run goes on as if it had not."""

from datetime import timedelta

import pytest

from jobs import services
from jobs.crashpoints import Point, listening
from jobs.models import Run, StepRun
from jobs.transitions import claims
from tests.jobs import vocabulary
from tests.jobs.conftest import Post, pass_time

pytestmark = pytest.mark.usefixtures("behaviour")

EVENT = {"order": "o-1"}


class Died(BaseException):
    """What kills the worker here."""


def die_at_the_registration(point: Point) -> None:
    if point == Point.WAIT_REGISTERED:
        raise Died


def take_and_die(kind: str) -> None:
    """Let a worker take a waiting step whose time has come, and never come back."""
    step = StepRun.objects.get(kind=kind)
    held, _ = claims.claim(step.pk, worker="one that dies", lease=timedelta(seconds=3))
    assert held is not None
    pass_time(timedelta(seconds=4))


def test_a_sleep_whose_end_a_dying_worker_took_is_not_slept_again(post: Post) -> None:
    run = vocabulary.sleeping.start(4, company="acme")
    post.deliver_all()
    pass_time(timedelta(days=366))

    take_and_die("sleep")
    services.sweep()
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).output == 4


def test_a_sleep_that_a_dying_worker_was_to_begin_is_slept(post: Post) -> None:
    run = vocabulary.sleeping.start(4, company="acme")
    post.deliver_one()

    take_and_die("sleep")
    services.sweep()
    post.deliver_all()

    step = StepRun.objects.get(run=run.pk, kind="sleep")
    assert (step.status, Run.objects.get(pk=run.pk).status) == ("waiting", "waiting")


def test_an_event_that_a_dying_worker_took_is_not_waited_for_again(post: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    post.deliver_all()
    services.send_event(run.pk, "payment.settled", EVENT)

    take_and_die("wait")
    services.sweep()
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).output == EVENT


def test_an_event_before_a_wait_counts_though_nobody_lived_to_look_for_it(post: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    services.send_event(run.pk, "payment.settled", EVENT)
    with listening(die_at_the_registration), pytest.raises(Died):
        post.deliver_all()
    assert StepRun.objects.get(run=run.pk, kind="wait").status == "waiting"

    pass_time(timedelta(days=4))
    services.sweep()
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).output == EVENT
