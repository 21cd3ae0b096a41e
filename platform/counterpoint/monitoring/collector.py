"""All metrics, asked for at each scrape: counters from their tallies, the rest as it stands.

A part that fails, or takes too long, is missing from the answer and named by
`counterpoint_scrape_problems`; the others are there.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from counterpoint.models import Incident
from counterpoint.monitoring import counters, standing
from counterpoint.monitoring.alerts.rules import RULES
from counterpoint.monitoring.depths import Depths, Gauge
from subscriptions import backlog
from subscriptions.statements import fetch

log = structlog.get_logger(__name__)

MOST_SECONDS = 5  # that one part may ask the database for
ROUND_AGE = "SELECT extract(epoch FROM clock_timestamp() - at) FROM counterpoint_alertround"
Part = Callable[[], Iterable[Metric]]


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"counterpoint_{name}", text, labels=labels)


class Everything(Collector):
    """Asks all parts, one after another."""

    def describe(self) -> Iterable[Metric]:
        """Promise nothing: who registers this must not be made to ask a database."""
        return []

    def collect(self) -> Iterator[Metric]:
        problems = gauge("scrape_problems", "1 if this part could not be asked for", "part")
        for name, part in PARTS.items():
            found = _asked(name, part)
            yield from found
            problems.add_metric([name], float(not found))
        found = list(queues())
        yield from found
        problems.add_metric(["queues"], float(not found))
        yield problems


def _asked(name: str, part: Part) -> list[Metric]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{MOST_SECONDS}s'")
            return list(part())
    except (DatabaseError, InterfaceError) as error:
        log.warning("metrics_missing", part=name, error=str(error).strip())
        return []


def outbox() -> Iterator[Metric]:
    unread = gauge("outbox_unread_events", "Not read by a relay yet; up to a million", "shard")
    lag = gauge("outbox_lag_seconds", "Age of the oldest unread event", "shard")
    led = gauge("outbox_relays", "1 if a relay reads this shard", "shard")
    for reader in backlog.readers():
        shard = [str(reader.share.shard)]
        unread.add_metric(shard, reader.unread)
        lag.add_metric(shard, reader.lag.total_seconds())
        led.add_metric(shard, float(reader.is_led))
    in_default = gauge("in_default_rows", "Without a partition of their day; should be 0", "table")
    for table, count in backlog.in_default().items():
        in_default.add_metric([table], count)
    yield from (unread, lag, led, in_default)


def live() -> Iterator[Metric]:
    runs = gauge("live_runs", "Not ended, by status; up to 100,000", "status")
    for status, count in standing.live_runs().items():
        runs.add_metric([status], count)
    deliveries = gauge("open_deliveries", "Not ended, by status; up to 100,000", "status")
    for status, count in standing.open_deliveries().items():
        deliveries.add_metric([status], count)
    letters = gauge("open_dead_letters", "From outside and not decided on; up to 100,000", "reason")
    for reason, count in standing.open_dead_letters().items():
        letters.add_metric([reason], count)
    late = settings.ALERT_STUCK_AFTER
    stuck = gauge("stuck_steps", "Due for long and taken by nobody; up to 100,000")
    stuck.add_metric([], sum(standing.stuck_steps(late).values()))
    yield from (runs, deliveries, letters, stuck)


def alerts() -> Iterator[Metric]:
    incidents = gauge("open_incidents", "Rules that fire and were told of", "rule")
    found = Counter(
        Incident.objects.filter(status=Incident.Status.OPEN).values_list("rule", flat=True)
    )
    for name in RULES:
        incidents.add_metric([name], found[name])
    age = gauge("alerts_age_seconds", "How long ago the rules were looked at")
    for (seconds,) in fetch(ROUND_AGE, []):
        age.add_metric([], float(seconds))
    yield from (incidents, age)


def queues() -> Iterator[Metric]:
    """Ask SQS, outside any transaction: it may take seconds."""
    measured = _gauge().measure(settings.QUEUES)
    if measured.problem is not None:
        log.warning("metrics_missing", part="queues", error=measured.problem)
        return
    yield from _depths(measured)


def _depths(measured: Depths) -> Iterator[Metric]:
    messages = gauge("queue_messages", "In SQS, about", "queue", "state")
    dead = gauge("dead_letter_queue_messages", "In the queue's dead-letter queue, about", "queue")
    oldest = gauge("queue_oldest_message_seconds", "By CloudWatch, where it tells", "queue")
    for depth in measured.queues:
        for state, count in (depth.counts or {}).items():
            messages.add_metric([depth.queue, state], count)
        if depth.dead_letters is not None:
            dead.add_metric([depth.queue], depth.dead_letters)
        if depth.oldest is not None:
            oldest.add_metric([depth.queue], depth.oldest)
    yield from (messages, dead, oldest)


@cache
def _gauge() -> Gauge:
    return Gauge()


PARTS: dict[str, Part] = {
    "counters": counters.collect,
    "outbox": outbox,
    "live": live,
    "alerts": alerts,
}

registry = CollectorRegistry(auto_describe=False)
registry.register(Everything())
