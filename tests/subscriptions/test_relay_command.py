"""`manage.py relay` as a process."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings

from subscriptions.models import Delivery, Event, ScheduledEvent
from tests.subscriptions.conftest import Sql
from tests.subscriptions.test_relay import relay_backends, wait_for

pytestmark = pytest.mark.django_db(transaction=True)

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"


def start() -> subprocess.Popen[bytes]:
    given = settings.DATABASES["default"]
    password = f":{given['PASSWORD']}" if given["PASSWORD"] else ""
    url = f"postgresql://{given['USER']}{password}@{given['HOST']}:{given['PORT']}/{given['NAME']}"
    return subprocess.Popen(
        [sys.executable, str(MANAGE), "relay"], env={**os.environ, "DATABASE_URL": url}
    )


def test_sigterm_ends_it_cleanly_and_kill_9_loses_nothing(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()
    first = start()
    try:
        wait_for(lambda: len(relay_backends(sql)) == 1, what="the first leads")
        sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
        first.kill()
    finally:
        first.kill()
        first.wait(10)

    second = start()
    try:
        sql("INSERT INTO orders VALUES (2, 'acme', 'x')")
        wait_for(lambda: Delivery.objects.count() == 2, what="both events are delivered")
        second.send_signal(signal.SIGTERM)
        assert second.wait(10) == 0
    finally:
        second.kill()
        second.wait(10)
    wait_for(lambda: relay_backends(sql) == [], what="its connection is closed")


def test_kill_9_publishes_every_scheduled_event_once(sql: Sql) -> None:
    sql(
        "INSERT INTO event_system_scheduled_event (company, type, payload, due_at)"
        " SELECT 'acme', 'tests.due', '{}', now() FROM generate_series(1, 3500)"
    )
    published = Event.objects.filter(type="tests.due")
    first = start()
    try:
        wait_for(lambda: published.exists(), what="the first has begun")
    finally:
        first.kill()
        first.wait(10)

    second = start()
    try:
        wait_for(lambda: not ScheduledEvent.objects.exists(), what="the second is through")
    finally:
        second.kill()
        second.wait(10)
    wait_for(lambda: relay_backends(sql) == [], what="both are gone")
    assert published.count() == published.values("source_id").distinct().count() == 3500
