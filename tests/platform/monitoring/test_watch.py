"""The thread beside the relay and beat."""

import threading
from collections.abc import Iterator

import pytest
from django.db import OperationalError
from pytest_django import Settings

from counterpoint.models import AlertRound, TallyMark
from counterpoint.monitoring import heartbeats, tallies, watch
from counterpoint.monitoring.alerts import evaluating
from subscriptions import relaying
from tests.platform.monitoring.rows import sql
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[threading.Event]:
    settings.QUEUES = ()
    evaluating._gauge.cache_clear()
    for name in ("FIRST_PAUSE", "PAUSE"):
        monkeypatch.setattr(watch, name, 0.01)
    stop = threading.Event()
    yield stop
    stop.set()


def test_it_counts_and_looks_until_it_is_told_to_stop(stop: threading.Event) -> None:
    thread = watch.begin(stop)
    wait_until(AlertRound.objects.filter(by__gt="").exists, what="it has looked")
    wait_until(TallyMark.objects.exists, what="it has counted")

    stop.set()
    thread.join(20)

    assert not thread.is_alive()
    here = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    wait_until(lambda: sql(here) == [(1,)], what="its connection is closed")


def test_an_outage_of_the_database_is_waited_for(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([OperationalError("the database is away"), ValueError("a bug")])
    turn = tallies.turn

    def fail_at_first() -> bool:
        for failure in failures:
            raise failure
        return turn()

    monkeypatch.setattr(tallies, "turn", fail_at_first)

    thread = watch.begin(stop)
    wait_until(AlertRound.objects.filter(by__gt="").exists, what="it has looked")
    stop.set()
    thread.join(20)


def test_the_relay_begins_it() -> None:
    assert watch.begin in relaying.BESIDE


def test_a_heartbeat_is_written_now_and_then() -> None:
    pulse = heartbeats.Pulse("beat")
    pulse.beat()
    [(first,)] = sql("SELECT seen_at FROM counterpoint_heartbeat")
    pulse.beat()

    assert sql("SELECT seen_at FROM counterpoint_heartbeat") == [(first,)]
