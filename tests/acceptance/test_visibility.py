"""A message stays with the worker that is at work on it, however long that takes."""

import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pytest_django import Settings

from counterpoint import sqs
from jobs.models import Attempt, StepRun
from tests.acceptance import brief_settings
from tests.acceptance.conftest import Platform
from tests.acceptance.slow_app.workflows import three
from tests.waiting import wait_until

SECONDS = int(brief_settings.VISIBILITY.total_seconds())
BRIEF = {
    "DJANGO_SETTINGS_MODULE": "tests.acceptance.brief_settings",
    "JOBS_LEASE_SECONDS": str(SECONDS),
}


@pytest.fixture(autouse=True)
def brief_queues(settings: Settings) -> None:
    """Have the queues made with a visibility of five seconds, and no message but a run's first.

    A worker that takes long to start would find two: the sweep sends what nobody has begun.
    """
    settings.QUEUES = brief_settings.QUEUES
    settings.JOBS_RESEND_AFTER = timedelta(hours=1)


def lease_seconds(run_id: UUID) -> float:
    """How far the lease has come, since the database's epoch."""
    until = StepRun.objects.get(run_id=run_id, node="slow-wait").lease_until
    assert until is not None
    return until.timestamp()


def receives(platform: Platform, run_id: UUID) -> int:
    """How often the worker has received the run's one message."""
    found = re.findall(rf"\[({run_id}\.[^]]*)\] received", platform.log("worker"))
    assert len(set(found)) <= 1
    return len(found)


def left() -> int:
    """How many messages the queue still has."""
    url = sqs.find(sqs.client(), "orders")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.client().get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def test_a_step_of_three_visibilities_and_leases_has_one_attempt_and_one_receive(
    platform: Platform, tmp_path: Path
) -> None:
    platform.start("worker", "relay", **BRIEF)
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")
    first = lease_seconds(run.pk)

    wait_until(lambda: lease_seconds(run.pk) - first > 3 * SECONDS, what="three leases have passed")
    (tmp_path / "go").touch()

    assert run.result(timeout=60) == 1
    assert receives(platform, run.pk) == 1
    assert Attempt.objects.filter(step_run__run_id=run.pk, step_run__node="slow-wait").count() == 1
    wait_until(lambda: left() == 0, what="each message is acknowledged")


def test_a_message_that_came_back_meanwhile_changes_nothing(
    platform: Platform, tmp_path: Path
) -> None:
    """The worker believes in a longer visibility than there is, and so acknowledges too late."""
    platform.start("worker", "relay")
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")

    wait_until(lambda: receives(platform, run.pk) > 1, what="its message came once more")
    (tmp_path / "go").touch()

    assert run.result(timeout=60) == 1
    assert Attempt.objects.filter(step_run__run_id=run.pk, step_run__node="slow-wait").count() == 1
    wait_until(lambda: left() == 0, what="each message is acknowledged")
