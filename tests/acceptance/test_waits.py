"""A run waits for an event that another run publishes, over real workers and relays."""

import pytest

from jobs.models import Run, StepRun
from tests.acceptance.conftest import Platform
from tests.acceptance.event_app.workflows import pay, ship
from tests.waiting import wait_until


@pytest.fixture(autouse=True)
def event_app(platform: Platform) -> None:
    platform.environment["EXTRA_APPS"] = "tests.acceptance.event_app"


def runs_waiting_for_events() -> int:
    return Run.objects.filter(status="waiting", waiting_for="event").count()


def test_a_wait_survives_the_relay_and_meets_what_another_run_published(
    platform: Platform,
) -> None:
    platform.start("worker", "relay")
    waiting = ship.start("o-1", company="acme")
    stranger = ship.start("o-1", company="globex")
    wait_until(lambda: runs_waiting_for_events() == 2, what="two runs wait")
    held = StepRun.objects.filter(run=waiting.pk, status="waiting").get()
    assert held.lease_until is None

    platform.kill("relay")
    assert pay.start("o-1", company="acme").result(timeout=60) == "o-1"
    late = ship.start("o-1", company="acme")  # the event is older than this run: it does not count
    wait_until(lambda: runs_waiting_for_events() == 3, what="the third waits, too")
    platform.start("relay")

    assert waiting.result(timeout=60) == 700
    assert runs_waiting_for_events() == 2
    assert not Run.objects.get(pk=stranger.pk).is_ended
    assert not Run.objects.get(pk=late.pk).is_ended
