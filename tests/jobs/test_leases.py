"""Which leases the worker's main process extends: those of the messages in work, and no others."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from celery.worker import state

from jobs.leases import LeaseHeart, worker_name
from jobs.models import StepRun
from jobs.transitions import claims
from tests.jobs import flows
from tests.jobs.conftest import Post

LEASE = timedelta(seconds=30)
HOST = "worker@host"
LEFT, PRESENT = "the message that was left", "the message in work"


@dataclass(eq=False)
class Request:
    """What Celery's main process knows of a message in work."""

    id: str
    worker_pid: int | None


@pytest.fixture
def in_work() -> Iterator[Request]:
    request = Request(PRESENT, os.getpid())
    state.active_requests.add(request)
    yield request
    state.active_requests.discard(request)


def held_for(message: str, post: Post) -> StepRun:
    run = flows.chain.start(1, company="acme")
    step = StepRun.objects.get(run_id=run.pk)
    claims.claim(step.pk, worker=worker_name(HOST, os.getpid(), message), lease=LEASE)
    return step


def has_been_extended(step: StepRun) -> bool:
    before = StepRun.objects.get(pk=step.pk).lease_until
    LeaseHeart(HOST).beat()
    return StepRun.objects.get(pk=step.pk).lease_until != before


@pytest.mark.usefixtures("in_work")
def test_the_lease_of_a_message_in_work_is_extended(post: Post) -> None:
    assert has_been_extended(held_for(PRESENT, post))


@pytest.mark.usefixtures("in_work")
def test_what_a_process_left_is_not_held_by_what_it_does_next(post: Post) -> None:
    assert not has_been_extended(held_for(LEFT, post))


def test_a_message_that_no_process_has_taken_yet_extends_nothing(
    post: Post, in_work: Request
) -> None:
    in_work.worker_pid = None

    assert not has_been_extended(held_for(PRESENT, post))
