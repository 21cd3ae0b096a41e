"""What holds of all runs together: at no moment do more run than a limit allows."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tests.faults.records import RunRecord
from tests.faults.report import Violation
from tests.faults.shapes import FEW, LIMIT, RATE, RATE_SECONDS, RATED, RUNS_AT_ONCE

PER = timedelta(seconds=RATE_SECONDS)
Interval = tuple[datetime, datetime]


def were_kept(found: Sequence[RunRecord]) -> Iterator[Violation]:
    """The limited and rated steps of all runs, the limited and rated workflows, and the items of
    each `each`.
    """
    limited = [one for record in found for one in _limited(record)]
    if _most(limited) > LIMIT:
        yield Violation("I7", f"{_most(limited)} limited steps ran at once, allowed are {LIMIT}")
    few = [one for record in found for one in _run(record, f"faults/{FEW}")]
    if _most(few) > RUNS_AT_ONCE:
        yield Violation("I7", f"{_most(few)} limited runs at once, allowed are {RUNS_AT_ONCE}")
    for what, starts in (("steps", _rated(found)), ("runs", _rated_runs(found))):
        if (most := _most_within(starts)) > RATE:
            yield Violation("I7", f"{most} rated {what} started within {PER}, allowed are {RATE}")
    for record in found:
        for each, intervals in _items(record).items():
            most, allowed = _most(intervals), record.plan.shape.call(each).max_parallel
            if most > allowed:
                yield Violation("I7", f"{most} items of {each} ran at once of {allowed}", record)


def _limited(record: RunRecord) -> list[Interval]:
    shape = record.plan.shape
    return [
        one
        for node in record.forward()
        if shape.call(node).kind == "limited"
        for one in _intervals(record, node)
    ]


def _run(record: RunRecord, workflow: str) -> Iterator[Interval]:
    """Yield when authors' code ran in a run of the workflow: its place was its own for longer."""
    steps = {n: step for n, step in record.forward().items() if n not in record.kept}
    starts = [line.at for node in steps for line in record.lines_of(node, "started")]
    ends = [step.finished_at for step in steps.values() if step.finished_at is not None]
    if record.row.workflow == workflow and starts and ends:
        yield min(starts), max(ends)


# A start under a rate was admitted at some moment between its claim and the code's first line.


def _rated(found: Sequence[RunRecord]) -> list[Interval]:
    return [
        (one.started_at, line.at)
        for record in found
        for node in record.forward()
        if record.plan.shape.call(node).kind == "rated"
        for one in record.tries[node]
        for line in record.lines_of(node, "started")
        if line.attempt == one.number
    ]


def _rated_runs(found: Sequence[RunRecord]) -> list[Interval]:
    return [
        (step.started_at, step.finished_at)
        for record in found
        if record.row.workflow == f"faults/{RATED}"
        for step in record.steps.values()
        if step.kind == "admission" and step.status == "succeeded"
        if step.started_at is not None and step.finished_at is not None
    ]


def _most_within(starts: Sequence[Interval]) -> int:
    """Return how many surely began within some window."""
    return max(
        (sum(first <= begun and at < first + PER for begun, at in starts) for first, _ in starts),
        default=0,
    )


def _items(record: RunRecord) -> dict[str, list[Interval]]:
    found: dict[str, list[Interval]] = defaultdict(list)
    for node, step in record.forward().items():
        if step.each is not None:
            found[step.each] += _intervals(record, node)
    return found


def _intervals(record: RunRecord, node: str) -> Iterator[Interval]:
    """Yield when the node's code ran: from its first line to the record of its end, at most as long
    as the lease that it had for sure; of a lost attempt until its last line.
    """
    lease = timedelta(seconds=float(os.environ["JOBS_LEASE_SECONDS"]))
    for one in record.tries[node]:
        lines = [
            line.at for line in record.lines if (line.node, line.attempt) == (node, one.number)
        ]
        if not lines:
            continue
        end = max(lines) if one.outcome == "lost" else one.finished_at
        yield min(lines), min(end, one.finished_at, one.started_at + lease)


def _most(intervals: Sequence[Interval]) -> int:
    """Return how many of the intervals overlap at most; one that ends makes room for the next."""
    changes = sorted(
        [(start, 1) for start, end in intervals if start < end]
        + [(end, -1) for start, end in intervals if start < end]
    )
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
