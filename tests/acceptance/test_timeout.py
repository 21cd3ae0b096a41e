"""A step past its timeout is interrupted, in place too; one that does not yield is killed."""

from pathlib import Path

import pytest

from jobs.errors import RunFailed
from jobs.models import Attempt
from tests.acceptance.conftest import Platform
from tests.acceptance.slow_app.workflows import late_flow, stubborn_flow, three


def test_a_step_past_its_timeout_is_interrupted_and_its_process_goes_on(
    platform: Platform, tmp_path: Path
) -> None:
    platform.start("worker", "relay")

    with pytest.raises(RunFailed, match="StepTimeout: no result within 1 s"):
        late_flow.start(str(tmp_path), company="acme").result(timeout=60)

    assert Attempt.objects.get(step_run__node="slow-late").outcome == "timeout"
    assert "exited with" not in platform.log("worker")


def test_a_step_that_swallows_its_timeout_is_killed_and_the_worker_goes_on(
    platform: Platform, tmp_path: Path
) -> None:
    platform.start("worker", "relay")

    with pytest.raises(RunFailed, match="WorkerLost"):
        stubborn_flow.start(str(tmp_path), company="acme").result(timeout=90)

    assert (tmp_path / "swallowed").exists()
    assert "exited with 'exitcode 1'" in platform.log("worker")
    assert "in stubborn" in platform.log("worker")  # where it was when it was killed
    (tmp_path / "go").touch()
    assert three.start(str(tmp_path), company="acme").result(timeout=60) == 1
