"""What holds of every step's attempts: one outcome, one key, one start each, no early loss."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

from tests.faults.behaviours import ATTEMPTS, SURE_DEATHS
from tests.faults.records import RunRecord
from tests.faults.rows import StepRow

WELL = frozenset({"succeeded", "skipped"})
# An attempt more is counted where the last worker never came back: it records the loss.
MOST = ATTEMPTS + 1
# A loss is recorded by the statement that claims the next attempt, each with the clock's own value.
SAME_STATEMENT = timedelta(milliseconds=100)


def _worked(record: RunRecord) -> Iterator[tuple[str, StepRow]]:
    """Yield the rows in which authors' code ran."""
    for node, step in record.steps.items():
        if step.kind == "step" and not step.inherited:
            yield node, step


def have_one_outcome(record: RunRecord) -> Iterator[str]:
    for node, step in _worked(record):
        outcomes = [one.outcome for one in record.tries[node]]
        well = [outcome for outcome in outcomes if outcome in WELL]
        if step.status in WELL and (well != [step.status] or outcomes[-1] != step.status):
            yield f"{node} is {step.status}, its attempts {outcomes}"
        if step.status not in WELL and well:
            yield f"{node} is {step.status}, though an attempt {well[0]}"
        if step.status == "succeeded" and step.phase == "forward" and outcomes:
            returned = [
                line.value
                for line in record.lines_of(node, "returning")
                if line.attempt == len(outcomes)
                and step.finished_at is not None
                and line.at <= step.finished_at
            ]
            if returned != [step.output]:
                yield (
                    f"{node} recorded {step.output} at {step.finished_at}; by then its last attempt"
                    f" had returned {returned or 'nothing'}"
                )


def are_numbered_without_gap(record: RunRecord) -> Iterator[str]:
    for node, step in _worked(record):
        numbers = [one.number for one in record.tries[node]]
        if numbers != list(range(1, step.attempts + 1)):
            yield f"{node} counts {step.attempts} attempts and recorded {numbers}"
        if record.is_pivoted:  # then there is no giving up
            continue
        if step.attempts - step.spent > MOST:
            yield f"{node} had {step.attempts - step.spent} attempts of {ATTEMPTS}"
        late = [
            line.attempt
            for line in record.lines_of(node, "started")
            if line.attempt - step.spent > ATTEMPTS
        ]
        if late:
            yield f"{node} ran in attempts {late}, beyond the {ATTEMPTS} allowed"


def were_started_once(record: RunRecord) -> Iterator[str]:
    """A doubled message starts nothing: each attempt's code was entered at most once."""
    starts = Counter((line.node, line.attempt) for line in record.lines if line.event == "started")
    for (node, attempt), count in starts.items():
        if count > 1:
            yield f"attempt {attempt} of {node} was started {count} times"
    for node, tries in record.tries.items():
        for before, after in itertools.pairwise(tries):
            if after.started_at < before.finished_at - SAME_STATEMENT:
                yield f"attempt {after.number} of {node} began before the one before it ended"


def have_one_key(record: RunRecord) -> Iterator[str]:
    """The idempotency key is the node's: of all its attempts, and of nothing else."""
    keys: dict[str, set[str]] = {}
    for line in record.lines:
        keys.setdefault(line.node, set()).add(line.key)
    for node, found in keys.items():
        if len(found) > 1:
            yield f"{node} was given the keys {sorted(found)}"
    shared = Counter(key for found in keys.values() for key in found)
    for key, count in shared.items():
        if count > 1:
            yield f"{count} nodes were given the key {key}"


def had_their_effects(record: RunRecord) -> Iterator[str]:
    """Whoever succeeded has run to its end; an atomic step's writes are there once or not."""
    shape = record.plan.shape
    for node, step in _worked(record):
        winner = len(record.tries[node])
        effects = [effect.attempt for effect in record.effects if effect.node == node]
        if step.status == "succeeded" and winner not in effects:
            yield f"{node} succeeded in attempt {winner}, whose effect is not there"
        if step.phase == "forward" and shape.call(node).kind == "atomic":
            wanted = [winner] if step.status == "succeeded" else []
            if effects != wanted:
                yield f"{node} is atomic and {step.status}; attempts {effects} had their effect"


def were_lost_by_their_lease(record: RunRecord) -> Iterator[str]:
    """An attempt is given up only when its lease is over, and not by the worker that died."""
    lease = timedelta(seconds=float(os.environ["JOBS_LEASE_SECONDS"]))
    for node, tries in record.tries.items():
        for place, one in enumerate(tries):
            if one.outcome != "lost":
                continue
            if one.finished_at - one.started_at < lease:
                yield f"attempt {one.number} of {node} was given up before its {lease} were over"
            after = tries[place + 1] if place + 1 < len(tries) else None
            step = record.steps[node]  # of the engine's own nodes only losses are recorded
            if after is None and step.status not in ("failed", "stopped") and step.kind == "step":
                yield f"attempt {one.number} of {node} was lost, and none followed"
            doing = record.plan.nodes.get(node)
            died = doing is not None and doing.deaths.get(one.number) in SURE_DEATHS
            if after is not None and after.worker == one.worker and died:
                yield f"attempt {after.number} of {node} ran on the worker that died: {one.worker}"


def recalled_one_value(record: RunRecord) -> Iterator[str]:
    """A sub-step's value is the same in every attempt, and it is not run again once it is kept."""
    for node in {line.node for line in record.lines if line.event == "recalled"}:
        recalled, drawn = record.lines_of(node, "recalled"), record.lines_of(node, "drawing")
        values = {line.value for line in recalled}
        if len(values) != 1 or not values <= {line.value for line in drawn}:
            yield f"{node} recalled {sorted(values)} of {[line.value for line in drawn]}"
        late = [
            one for one in drawn if one.at > recalled[0].at and one.attempt not in record.lost(node)
        ]
        if late:
            yield f"attempt {late[0].attempt} of {node} drew again what was kept"
