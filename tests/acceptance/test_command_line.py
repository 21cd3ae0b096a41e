"""`manage.py start --watch` and the levers, beside a real worker."""

import json
import subprocess
import sys
from pathlib import Path

from tests.acceptance.conftest import Platform
from tests.waiting import wait_until


def manage(platform: Platform, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        env=platform.environment,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_run_is_watched_to_its_end(platform: Platform, tmp_path: Path) -> None:
    platform.start("worker", "relay")
    (tmp_path / "go").touch()

    watching = manage(
        platform, "start", "slow/three", "--input", json.dumps(str(tmp_path)), "--watch"
    )
    printed, _ = watching.communicate(timeout=60)

    assert watching.returncode == 0
    assert "slow-wait  succeeded" in printed
    assert printed.splitlines()[-1].startswith("slow-after  succeeded")


def test_a_run_that_is_cancelled_meanwhile_ends_the_watch_with_exit_code_1(
    platform: Platform, tmp_path: Path
) -> None:
    platform.start("worker", "relay")
    watching = manage(
        platform, "start", "slow/three", "--input", json.dumps(str(tmp_path)), "--watch"
    )
    assert watching.stdout is not None
    run_id = watching.stdout.readline().split()[1]
    wait_until((tmp_path / "attempt-1").exists, what="the middle step runs")

    cancelling = manage(platform, "run", "cancel", run_id, "--reason", "ordered twice")
    said, _ = cancelling.communicate(timeout=60)
    (tmp_path / "go").touch()
    printed, _ = watching.communicate(timeout=60)

    assert (cancelling.returncode, watching.returncode) == (0, 1)
    assert f"run {run_id} cancelled" in said
    assert f"slow/three {run_id}  cancelled" in printed
    assert "slow-after" not in printed
