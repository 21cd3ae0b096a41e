"""Several real beats: each slot fires once, whichever of them is killed, and whatever is away."""

import json
import shlex
import signal
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from counterpoint.embedded.application import procfile
from jobs.models import Firing, Run
from tests.acceptance.conftest import Platform
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # processes start several times, each in seconds

SECOND = timedelta(seconds=1)
KILLS = 3
StartBeat = Callable[[str], None]


@pytest.fixture
def start_beat(platform: Platform) -> StartBeat:
    """Start the Procfile's beat under a name of its own."""
    platform.environment["EXTRA_APPS"] = "tests.acceptance.beat_app"

    def start(name: str) -> None:
        argv = [sys.executable, "-m", *shlex.split(procfile()["beat"])]
        platform.services.start_process(name, argv, platform.environment)
        platform.names.append(name)

    return start


def slots() -> list[datetime]:
    return list(Firing.objects.order_by("slot").values_list("slot", flat=True))


def wait_for_more(count: int) -> None:
    """Wait until so many slots have fired that had not yet come."""
    wanted = len(slots()) + count
    wait_until(lambda: len(slots()) >= wanted, what=f"{wanted} slots")


def plain_task(path: Path) -> PeriodicTask:
    """Have a plain Celery task sent every second."""
    interval = IntervalSchedule.objects.create(every=1, period="seconds")
    made = PeriodicTask(
        name="plain", task="beat-plain", args=json.dumps([str(path)]), interval=interval
    )
    made.save()  # type: ignore[no-untyped-call] # it has no types
    return made


def test_each_slot_fires_once_while_beats_are_killed(
    platform: Platform, start_beat: StartBeat, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    plain = plain_task(lines)
    start_beat("beat-1")
    start_beat("beat-2")
    platform.start("worker", "relay")
    wait_for_more(3)

    platform.kill("beat-1")
    wait_for_more(2)
    start_beat("beat-1")
    wait_for_more(3)
    platform.kill("beat-2")
    wait_for_more(2)
    platform.kill("beat-1")
    start_beat("beat-1")
    wait_for_more(3)
    platform.services.processes.send_signal("beat-1", signal.SIGTERM)

    assert platform.services.processes.wait("beat-1", seconds=60) == 0
    found = slots()
    assert {after - before for before, after in pairwise(found)} == {SECOND}
    assert Run.objects.count() == len(found)
    wait_until(lambda: Run.objects.filter(status="succeeded").count() == len(found), what="runs")
    assert {datetime.fromisoformat(str(run.output)) for run in Run.objects.all()} == set(found)
    plain.refresh_from_db()
    assert plain.last_run_at is not None
    assert 1 < plain.total_run_count <= (plain.last_run_at - plain.date_changed) / SECOND + 1
    # One that was killed between the message and the commit has its message sent again.
    sent = range(plain.total_run_count, plain.total_run_count + KILLS + 1)
    wait_until(lambda: len(lines.read_text().splitlines()) in sent, what="plain tasks")


def test_a_beat_waits_for_a_database_that_is_away_and_catches_up(
    platform: Platform, start_beat: StartBeat
) -> None:
    start_beat("lone-beat")
    wait_for_more(2)

    platform.kill("postgres")
    wait_until(lambda: platform.log("lone-beat").count("beat_waits") > 2, what="beat waiting")
    connection.close()
    platform.services.restart("postgres")
    wait_for_more(3)

    assert platform.services.processes.codes()["lone-beat"] is None
    assert {after - before for before, after in pairwise(slots())} == {SECOND}
    assert "Traceback" not in platform.log("lone-beat")
