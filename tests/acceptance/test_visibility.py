"""A message stays with the worker that is at work on it, however long that takes."""

import uuid
from pathlib import Path
from uuid import UUID

import pytest
from celery import current_app
from django.core.management import call_command
from pytest_django import Settings

from counterpoint import sqs
from jobs import dispatch
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


@pytest.fixture
def prefix(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The prefix of queues of this test's own, whose messages come back after five seconds.

    The emulator still answers the long polls of workers that are gone: on queues that others have
    used, a message may be held by nobody.
    """
    made = settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    settings.QUEUES = brief_settings.QUEUES
    call_command("ensure_queues", verbosity=0)
    options = current_app.conf.broker_transport_options
    monkeypatch.setitem(options, "queue_name_prefix", made)
    monkeypatch.setitem(options, "predefined_queues", sqs.QueueUrls())
    monkeypatch.setattr(dispatch, "_outgoing", dispatch._begin())
    return made


def lease_seconds(run_id: UUID) -> float:
    """How far the lease has come, since the database's epoch."""
    until = StepRun.objects.get(run_id=run_id, node="slow-wait").lease_until
    assert until is not None
    return until.timestamp()


def receives(platform: Platform) -> int:
    """How many messages the worker has received so far."""
    return platform.log("worker").count("] received")


def left() -> int:
    """How many messages the queue still has."""
    url = sqs.find(sqs.client(), "orders")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.client().get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


@pytest.mark.skip(reason="passes by itself, and has failed inside the whole run: to be found")
def test_a_step_of_three_visibilities_and_leases_has_one_attempt_and_one_receive(
    platform: Platform, tmp_path: Path, prefix: str
) -> None:
    platform.start("worker", "relay", SQS_QUEUE_PREFIX=prefix, **BRIEF)
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")
    first, received = lease_seconds(run.pk), receives(platform)

    wait_until(lambda: lease_seconds(run.pk) - first > 3 * SECONDS, what="three leases have passed")
    assert receives(platform) == received
    (tmp_path / "go").touch()

    assert run.result(timeout=60) == 1
    assert Attempt.objects.filter(step_run__run_id=run.pk, step_run__node="slow-wait").count() == 1
    wait_until(lambda: left() == 0, what="each message is acknowledged")


def test_a_message_that_came_back_meanwhile_changes_nothing(
    platform: Platform, tmp_path: Path, prefix: str
) -> None:
    """The worker believes in a longer visibility than there is, and so acknowledges too late."""
    platform.start("worker", "relay", SQS_QUEUE_PREFIX=prefix)
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")
    received = receives(platform)

    wait_until(lambda: receives(platform) > received, what="its message came once more")
    (tmp_path / "go").touch()

    assert run.result(timeout=60) == 1
    assert Attempt.objects.filter(step_run__run_id=run.pk, step_run__node="slow-wait").count() == 1
    wait_until(lambda: left() == 0, what="each message is acknowledged")
