"""Tallies as Prometheus knows them: counters, and histograms of durations in seconds."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from counterpoint.monitoring.sources import BOUNDS
from subscriptions.statements import fetch

TALLIES = """
SELECT family, handler, type, company, outcome, bucket, count, seconds
FROM counterpoint_tally ORDER BY family, handler, type, company, outcome, bucket
"""
AGE = "SELECT extract(epoch FROM clock_timestamp() - min(at)) FROM counterpoint_tallymark"
BARS = len(BOUNDS) + 1


class Key(NamedTuple):
    """What is counted for itself."""

    handler: str
    type: str
    company: str
    outcome: str


@dataclass(frozen=True)
class Family:
    """A family's metrics; a label that is not among `labels` is the same for all."""

    total: str
    of_totals: str
    labels: tuple[str, ...]
    histogram: str = ""
    of_seconds: str = ""


FAMILIES = {
    "events": Family(
        "counterpoint_events", "Events in the outbox, by type or table", ("type", "company")
    ),
    "attempts": Family(
        "counterpoint_delivery_attempts",
        "Tries of deliveries",
        ("handler", "type", "company", "outcome"),
        "counterpoint_delivery_attempt_seconds",
        "How long a try took",
    ),
    "deliveries": Family(
        "counterpoint_deliveries",
        "Deliveries that have ended",
        ("handler", "type", "company", "outcome"),
        "counterpoint_delivery_seconds",
        "From the event to the delivery's end",
    ),
    "runs": Family(
        "counterpoint_runs",
        "Runs that have ended, by workflow",
        ("type", "company", "outcome"),
        "counterpoint_run_seconds",
        "From a run's start to its end",
    ),
}


class Bars:
    """The histogram of one key."""

    def __init__(self) -> None:
        self.counts = [0] * BARS
        self.seconds = 0.0

    def cumulated(self) -> list[tuple[str, float]]:
        """Return for each bound how many were below it, the last one's being infinite."""
        made, total = [], 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            made.append((bound, float(total)))
        return made


def collect() -> Iterator[Metric]:
    """Yield every family, the empty ones included. Two queries."""
    found = _tallies()
    for name, family in FAMILIES.items():
        total = CounterMetricFamily(family.total, family.of_totals, labels=family.labels)
        histogram = HistogramMetricFamily(
            family.histogram or "none", family.of_seconds, labels=family.labels
        )
        for key, bars in found[name].items():
            labels = [getattr(key, label) for label in family.labels]
            total.add_metric(labels, sum(bars.counts))
            histogram.add_metric(labels, bars.cumulated(), bars.seconds)
        yield total
        if family.histogram:
            yield histogram
    yield _age()


def _tallies() -> dict[str, dict[Key, Bars]]:
    found: dict[str, dict[Key, Bars]] = defaultdict(lambda: defaultdict(Bars))
    for family, handler, type_, company, outcome, bucket, count, seconds in fetch(TALLIES, []):
        bars = found[family][Key(handler, type_, company, outcome)]
        bars.counts[min(bucket, BARS - 1)] += count
        bars.seconds += seconds
    return found


def _age() -> Metric:
    [(age,)] = fetch(AGE, [])
    made = GaugeMetricFamily(
        "counterpoint_counters_age_seconds", "How long ago the counters were brought up to date"
    )
    if age is not None:
        made.add_metric([], float(age))
    return made
