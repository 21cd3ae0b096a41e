"""Relay a backlog in one process, and route and claim while others look on."""

import os
import time
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
django.setup()

from django.db import connection  # noqa: E402 - the models exist only now

from bench.errors import BenchError  # noqa: E402
from bench.probes.webhooks import clear as clear_tables  # noqa: E402
from counterpoint import sqs  # noqa: E402
from subscriptions.deliveries import delivery  # noqa: E402
from subscriptions.handing import Hander  # noqa: E402
from subscriptions.models import Delivery, Event  # noqa: E402
from subscriptions.relay import PAGE_SIZE, Relayed, relay_once  # noqa: E402
from subscriptions.routing import Router  # noqa: E402
from subscriptions.services import create_subscription  # noqa: E402

TABLE = "bench_order"
QUEUE = "webhooks"
CREATE = f"""
DROP TABLE IF EXISTS {TABLE};
CREATE TABLE {TABLE} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, company text NOT NULL,
    status text NOT NULL, amount numeric, note text);
SELECT attach_event_trigger('{TABLE}', company => 'company');
"""
# As many subscriptions for each company as an event has receivers; half of them have a filter.
SUBSCRIBE = f"""
INSERT INTO event_system_subscription
    (name, company, "table", handler_type, filter, active)
SELECT 's' || n, 'c' || (n %% %(companies)s), '{TABLE}', 'BENCH',
    CASE n / %(companies)s %% 2 WHEN 0 THEN '{{}}' ELSE '{{"status": "confirmed"}}' END::jsonb, true
FROM generate_series(0, %(companies)s * %(fan_out)s - 1) AS n
"""
WRITE = f"""
INSERT INTO {TABLE} (company, status, amount, note)
SELECT 'c' || (n %% %s), 'confirmed', n * 1.5, repeat('x', 200) FROM generate_series(1, %s) AS n
"""


def prepare() -> None:
    """Make the watched table, for others too; what there was is forgotten."""
    clear()
    with connection.cursor() as cursor:
        cursor.execute(CREATE)


def subscribe(subscriptions: int, fan_out: int) -> int:
    """Make the subscriptions and let a relay load them; return how many companies they are of."""
    companies = subscriptions // fan_out
    with connection.cursor() as cursor:
        cursor.execute(SUBSCRIBE, {"companies": companies, "fan_out": fan_out})
    return companies


def deliver_to(company: str, url: str) -> None:
    """Subscribe a company to its rows by webhook."""
    create_subscription(
        name="bench", company=company, table=TABLE, handler_type="WEBHOOK", config={"url": url}
    )


def relay(companies: int, count: int, fan_out: int) -> dict[str, float]:
    """Write so many events and relay them, messages and all.

    Returns events a second, and of this process the seconds of processor time and the bytes that it
    holds more than after the first page.
    """
    router, hander = Router(), Hander()
    _write(companies, 1)
    while relay_once(router).events:  # loads the subscriptions
        pass
    _write(companies, count)
    began, processor, held = time.perf_counter(), time.process_time(), 0
    found = Relayed()
    while (turn := relay_once(router, hand=hander.hand, is_busy=found.events > 0)).events:
        found = Relayed(found.events + turn.events, found.deliveries + turn.deliveries)
        held = held or _memory()
        if turn.events < PAGE_SIZE:
            break
    hander.flush()
    took = time.perf_counter() - began
    if (found.events, found.deliveries) != (count, count * fan_out):
        raise BenchError(f"relayed {found} of {count} events at a fan-out of {fan_out}")
    more = _memory() - held
    clear()
    return {
        "rate": count / took,
        "processor": time.process_time() - processor,
        "memory": float(max(more, 0)),
    }


def turn(companies: int, count: int) -> float:
    """Write, route, claim and record so many events; return how many a second."""
    router = Router()
    _write(companies, count)
    waiting: list[int] = []

    def hand(page: Any) -> int:
        waiting.extend(pk for one in page for pk in one.ids)
        return 0

    began = time.perf_counter()
    while relay_once(router, hand=hand).events:
        pass
    for first in range(0, len(waiting), 100):
        delivery.deliver(waiting[first : first + 100])
    took = time.perf_counter() - began
    if len(waiting) != count:
        raise BenchError(f"{len(waiting)} deliveries of {count} events")
    return count / took


def events(table: str = TABLE) -> dict[str, str]:
    """Return the record of each event, by the event's id."""
    found = Event.objects.filter(table=table).values_list("event_id", "record_id")
    return {str(event_id): str(record_id) for event_id, record_id in found}


def delivered() -> int:
    return Delivery.objects.filter(status="delivered").count()


def clear() -> None:
    """Forget all but the table: events, subscriptions, deliveries, messages."""
    clear_tables()
    client = sqs.client()
    client.purge_queue(QueueUrl=sqs.find(client, QUEUE))


def _write(companies: int, count: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(WRITE, [companies, count])
        cursor.execute("ANALYZE event_system_event")


def _memory() -> int:
    """Return this process's resident bytes: Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


HANDLERS: dict[str, Any] = {
    function.__name__: function
    for function in (prepare, subscribe, deliver_to, relay, turn, events, delivered, clear)
}
