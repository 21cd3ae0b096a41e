"""PostgreSQL restarts under a worker whose connections stay open from task to task."""

from pathlib import Path

from django.db import connection

from jobs.models import Run
from tests.acceptance.conftest import Platform
from tests.acceptance.slow_app.workflows import three
from tests.waiting import wait_until


def restart_postgres(platform: Platform) -> None:
    platform.services.processes.stop("postgres")
    platform.services.restart("postgres")
    connection.close()  # this process's own


def run_once(folder: Path) -> int:
    folder.mkdir()
    (folder / "go").touch()
    return three.start(str(folder), company="acme").result(timeout=60)


def test_no_task_notices_that_the_database_was_restarted_before_it(
    platform: Platform, tmp_path: Path
) -> None:
    platform.start("worker", "relay")
    for number in range(6):  # so that each pool process has its connection
        run_once(tmp_path / f"before-{number}")

    restart_postgres(platform)

    assert [run_once(tmp_path / f"after-{number}") for number in range(6)] == [1] * 6
    assert "raised unexpected" not in platform.log("worker")


def test_a_step_during_which_the_database_was_restarted_has_one_attempt(
    platform: Platform, tmp_path: Path
) -> None:
    platform.start("worker", "relay", JOBS_LEASE_SECONDS="30")  # longer than the restart takes
    run = three.start(str(tmp_path), company="acme")
    wait_until((tmp_path / "attempt-1").exists, what="the step has begun")

    restart_postgres(platform)
    (tmp_path / "go").touch()

    assert run.result(timeout=60) == 1
    assert Run.objects.get(pk=run.pk).status == "succeeded"
