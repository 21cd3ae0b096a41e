"""What is printed for a violation: seed, invariant, run, and all that happened to the run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from tests.faults.records import RunRecord


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold; `record` is None where it is of no run."""

    invariant: str
    message: str
    record: RunRecord | None = None


Blow = tuple[datetime, str]


def describe(violations: Iterable[Violation], *, seed: int, blows: Iterable[Blow]) -> str:
    """Return the report of a history: every violation, then each run concerned, once."""
    found = list(violations)
    lines = [f"seed {seed}: {len(found)} violations; replay with make faults ARGS='--seed {seed}'"]
    records = {v.record.row.id: v.record for v in found if v.record is not None}
    for violation in found:
        run = f" run {violation.record.row.number}:" if violation.record else ""
        lines.append(f"  {violation.invariant}:{run} {violation.message}")
    for record in records.values():
        lines += ["", *tell(record, blows)]
    return "\n".join(lines)


def tell(record: RunRecord, blows: Iterable[Blow]) -> Iterator[str]:
    """Yield a run's history in the order of the database's clock."""
    row = record.row
    yield f"run {row.number} ({row.id}): {row.status}, rollback {row.rollback}, stop {row.stop}"
    yield f"  shape {record.plan.shape}"
    yield f"  doomed {sorted(record.plan.doomed)}, cancelled after {record.plan.cancel_after}"
    for join in record.joins:
        yield f"  join {join.name}: {join.live} live"
    for step in record.steps.values():
        yield (
            f"  row {step.node}: {step.status}, {step.attempts} attempts, output {step.output},"
            f" undo {step.undo}, due {step.due_at}, wake {step.wake_at}, lease {step.lease_until}"
        )
    for at, text in sorted(_events(record, blows)):
        yield f"  {at:%H:%M:%S.%f} {text}"


def _events(record: RunRecord, blows: Iterable[Blow]) -> Iterator[tuple[datetime, str]]:
    row = record.row
    yield row.created_at, "run created"
    if row.finished_at:
        yield row.finished_at, f"run {row.status}, rollback {row.rollback}, error {row.error}"
    for step in record.steps.values():
        yield step.created_at, f"{step.node} ready"
        if step.finished_at:
            yield step.finished_at, f"{step.node} {step.status}"
    for tries in record.tries.values():
        for one in tries:
            yield one.started_at, f"{one.node} attempt {one.number} claimed by {one.worker}"
            error = (one.error or {}).get("type", "")
            yield one.finished_at, f"{one.node} attempt {one.number} {one.outcome} {error}"
    for line in record.lines:
        yield line.at, f"    {line.node} {line.attempt} {line.event} {line.value} (pid {line.pid})"
    end = row.finished_at or datetime.max.replace(tzinfo=row.created_at.tzinfo)
    for at, text in blows:
        if row.created_at <= at <= end:
            yield at, f"*** {text}"
