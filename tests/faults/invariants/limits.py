"""What holds of all runs together: at no moment do more run than a limit allows."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from tests.faults.records import RunRecord
from tests.faults.report import Violation
from tests.faults.shapes import LIMIT

Interval = tuple[datetime, datetime]


def were_kept(found: Sequence[RunRecord]) -> Iterator[Violation]:
    """The limited steps of all runs, and the items of each `each`."""
    limited = [one for record in found for one in _limited(record)]
    if _most(limited) > LIMIT:
        yield Violation("I7", f"{_most(limited)} limited steps ran at once, allowed are {LIMIT}")
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
