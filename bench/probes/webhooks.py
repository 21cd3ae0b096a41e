"""Subscribe receivers, publish events and route them: all that comes before the workers."""

import os
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
django.setup()

from django.db import connection  # noqa: E402 - the models exist only now

from bench.errors import BenchError  # noqa: E402
from bench.flows.events import Happened  # noqa: E402
from subscriptions.models import Delivery, Event, Gate, Subscription  # noqa: E402
from subscriptions.relay import relay_all  # noqa: E402
from subscriptions.routing import Router  # noqa: E402
from subscriptions.services import create_subscription  # noqa: E402

POLL_SECONDS = 0.1
INSERT = """
INSERT INTO event_system_event (source, company, type, version, payload)
SELECT 'code', %s || (n %% %s), 'bench.happened', 1, %s::json FROM generate_series(1, %s) AS n
"""


def subscribe(prefix: str, urls: list[str]) -> list[int]:
    """Subscribe one company to each URL: prefix0, prefix1, …; return the subscriptions' ids."""
    return [
        create_subscription(
            name="bench",
            company=f"{prefix}{number}",
            event_type="bench.happened",
            handler_type="WEBHOOK",
            config={"url": url},
        ).pk
        for number, url in enumerate(urls)
    ]


def route(prefix: str, companies: int, count: int) -> int:
    """Publish so many events for the companies by turns, and relay them; return the deliveries."""
    with connection.cursor() as cursor:
        cursor.execute(INSERT, [prefix, companies, Happened(number=1).model_dump_json(), count])
    return relay_all(Router()).deliveries


def wait(subscriptions: list[int], count: int, wait_seconds: float) -> int:
    """Wait until so many are delivered and return how many were tried more than once."""
    deadline = time.monotonic() + wait_seconds
    rows = Delivery.objects.filter(subscription_id__in=subscriptions)
    while (found := rows.filter(status="delivered").count()) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"{found} of {count} deliveries within {wait_seconds:g} s")
        time.sleep(POLL_SECONDS)
    return rows.filter(attempts__gt=1).count()


def clear() -> None:
    """Forget all: subscriptions, their gates, events and deliveries."""
    Subscription.objects.all().delete()
    with connection.cursor() as cursor:
        for model in (Gate, Delivery, Event):
            cursor.execute(f"TRUNCATE {model._meta.db_table}")
        cursor.execute("TRUNCATE event_system_delivery_attempt")
        cursor.execute("DELETE FROM event_system_relay_cursor")


HANDLERS: dict[str, Any] = {"subscribe": subscribe, "route": route, "wait": wait, "clear": clear}
