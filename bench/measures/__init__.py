"""Everything that can be measured, by the name that `--only` takes, in the table's order."""

from collections.abc import Callable

from bench.measures import (
    canvases,
    capture,
    finished,
    idle,
    ingesting,
    latency,
    limit,
    process,
    relay,
    scheduling,
    searching,
    starting,
    steps,
    webhooks,
)
from bench.rows import Row
from bench.setup import Setup

Measurement = Callable[[Setup], list[Row]]

MEASURES: dict[str, Measurement] = {
    "limit": limit.measure,
    "chain": canvases.chain,
    "process": process.measure,
    "spread": canvases.spread,
    "step": steps.measure,
    "chord": canvases.chord,
    "start": starting.one,
    "many": starting.many,
    "finished": finished.measure,
    "idle": idle.measure,
    "capture": capture.single,
    "bulk": capture.bulk,
    "webhooks": webhooks.measure,
    "search": searching.measure,
    "scheduled": scheduling.measure,
    "relay": relay.rates,
    "relay_idle": relay.idle,
    "latency": latency.measure,
    "snapshot": relay.snapshot,
    "ingest": ingesting.measure,
}
