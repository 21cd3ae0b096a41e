"""Revoking a step's task in Flower, or with `celery control`, cancels its run."""

import base64
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from uuid import UUID

import pytest

from counterpoint.embedded.ports import HOST
from jobs import dispatch
from jobs.models import Attempt, Run, StepRun
from jobs.task_ids import new_task_id
from tests.acceptance.conftest import Platform
from tests.acceptance.slow_app.workflows import three
from tests.waiting import wait_until

LOGIN = "admin:for-this-test"
CONTROL = [sys.executable, "-m", "celery", "-A", "counterpoint.monitor", "control"]


def control(platform: Platform, *arguments: str) -> str:
    """Send a remote control command until the worker answers, and return its answer."""

    def ask() -> str:
        ended = subprocess.run(
            [*CONTROL, *arguments],
            env={**os.environ, **platform.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.stdout if ended.returncode == 0 else ""

    return wait_until(ask, what=f"an answer to {arguments[0]}")


def is_stopped(run_id: UUID) -> bool:
    return Run.objects.get(pk=run_id).stop == "cancelled"


def task_of(run_id: UUID) -> str:
    """The id of the task that the worker is at work on; others of the run it may only have got."""
    worker = StepRun.objects.get(run_id=run_id, status="running").worker
    assert worker is not None
    return worker.rpartition(":")[2]


def ended(run_id: UUID) -> Run:
    def look() -> Run | None:
        run = Run.objects.get(pk=run_id)
        return run if run.is_ended else None

    found = wait_until(look, what="the run has ended")
    assert found is not None
    return found


def ask_flower(platform: Platform, path: str) -> bool:
    """Whether Flower took the request; False while it does not know the task yet."""
    login = base64.b64encode(LOGIN.encode()).decode()
    request = urllib.request.Request(
        f"http://{HOST}:{platform.services.ports.flower}/api/{path}",
        method="POST",
        headers={"Authorization": f"Basic {login}"},
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False
    return True


def test_a_step_revoked_in_flower_cancels_its_run(platform: Platform, tmp_path: Path) -> None:
    platform.start("worker", "relay")
    platform.start("flower", FLOWER_BASIC_AUTH=LOGIN)
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")

    path = f"task/revoke/{task_of(run.pk)}"
    wait_until(lambda: ask_flower(platform, path), what="Flower takes the revoke")
    wait_until(lambda: is_stopped(run.pk), what="the run is told to stop")
    (tmp_path / "go").touch()

    assert ended(run.pk).status == "cancelled"
    assert not StepRun.objects.filter(run_id=run.pk, node="slow-after", status="succeeded").exists()


def test_a_step_terminated_at_work_ends_its_run(platform: Platform, tmp_path: Path) -> None:
    platform.start("worker", "relay")
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")

    answer = control(platform, "terminate", "KILL", task_of(run.pk))

    assert "terminate: " in answer
    wait_until(lambda: is_stopped(run.pk), what="the run is told to stop")
    assert ended(run.pk).status == "cancelled"
    step = StepRun.objects.get(run_id=run.pk, node="slow-wait")
    attempts = Attempt.objects.filter(step_run=step).values_list("outcome", flat=True)
    assert (step.status, list(attempts)) == ("stopped", ["lost"] * step.attempts)
    platform.services.processes.require("worker")


def test_a_run_whose_message_no_worker_has_received_is_cancelled_too(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "send", lambda _: None)
    platform.start("worker")
    run = three.start(str(tmp_path), company="acme")
    step = StepRun.objects.get(run_id=run.pk)

    control(platform, "revoke", new_task_id(run.pk, step.pk))

    assert ended(run.pk).status == "cancelled"


def test_a_finished_run_is_not_undone_by_a_revoke(platform: Platform, tmp_path: Path) -> None:
    platform.start("worker", "relay")
    (tmp_path / "go").touch()
    run = three.start(str(tmp_path), company="acme")
    run.result(timeout=60)
    step = StepRun.objects.filter(run_id=run.pk).first()
    assert step is not None

    control(platform, "revoke", new_task_id(run.pk, step.pk))

    assert Run.objects.get(pk=run.pk).status == "succeeded"


def test_a_task_that_is_no_steps_is_revoked_as_ever(platform: Platform) -> None:
    platform.start("worker")

    answer = control(platform, "revoke", "just-a-task")

    assert "flagged as revoked" in answer
