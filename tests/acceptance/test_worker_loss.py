"""A worker killed inside a step is replaced by another, and each outcome is recorded once."""

import os
from pathlib import Path
from uuid import UUID

import pytest

from jobs.models import Attempt, Run, StepRun
from tests.acceptance.conftest import Platform
from tests.acceptance.slow_app.workflows import three
from tests.waiting import wait_until


def outcomes(run_id: UUID) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    rows = Attempt.objects.filter(step_run__run_id=run_id).order_by("step_run_id", "number")
    for node, outcome in rows.values_list("step_run__node", "outcome"):
        found.setdefault(node, []).append(outcome)
    return found


def stand_in_step(folder: Path, attempt: int) -> None:
    """Wait until the attempt is inside the step."""
    wait_until((folder / f"attempt-{attempt}").exists, what=f"attempt {attempt}")


@pytest.mark.parametrize("victim", ["worker", "pool process"])
def test_a_killed_worker_is_replaced_and_the_run_still_ends(
    platform: Platform, tmp_path: Path, victim: str
) -> None:
    platform.start("worker", "relay")
    run = three.start(str(tmp_path), company="acme")
    stand_in_step(tmp_path, 1)

    if victim == "worker":
        platform.kill("worker")
        platform.start("worker")
    else:
        (tmp_path / "die").touch()
    stand_in_step(tmp_path, 2)
    (tmp_path / "go").touch()

    assert run.result(timeout=60) == 2
    assert Run.objects.get(pk=run.pk).status == "succeeded"
    assert outcomes(run.pk) == {
        "slow-before": ["succeeded"],
        "slow-wait": ["lost", "succeeded"],
        "slow-after": ["succeeded"],
    }


def test_a_step_longer_than_its_lease_keeps_it_while_its_worker_lives(
    platform: Platform, tmp_path: Path
) -> None:
    platform.start("worker", "relay")
    run = three.start(str(tmp_path), company="acme")
    stand_in_step(tmp_path, 1)
    first = StepRun.objects.get(run_id=run.pk, node="slow-wait").lease_until

    def has_outlived_two_leases() -> bool:
        now = StepRun.objects.get(run_id=run.pk, node="slow-wait").lease_until
        assert first is not None
        assert now is not None
        return (now - first).total_seconds() > 2 * float(os.environ["JOBS_LEASE_SECONDS"])

    wait_until(has_outlived_two_leases, what="the lease extended twice over")
    (tmp_path / "go").touch()

    assert run.result(timeout=60) == 1
    assert outcomes(run.pk)["slow-wait"] == ["succeeded"]
