"""What holds of starts that share a run: of singletons, and of debounced workflows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from tests.faults import fixed, numbers
from tests.faults.records import RunRecord
from tests.faults.report import Violation
from tests.faults.rows import Ask


def were_answered(found: Sequence[RunRecord], asks: Sequence[Ask]) -> Iterator[Violation]:
    runs = {record.row.id: record for record in found}
    singles = [record for record in found if record.row.workflow == fixed.SINGLE.name]
    for record in singles:
        for other in singles:
            if _collide(record, other):
                yield Violation("singleton", f"run {other.row.id} began before it ended", record)
    for ask in asks:
        if ask.run_id is not None and ask.run_id not in runs:
            yield Violation("start", f"the answer to {ask} is no run")
    yield from _singles(runs, [ask for ask in asks if ask.number < numbers.DEBOUNCED])
    for record in found:
        if record.row.workflow == fixed.DEBOUNCED.name:
            of_key = [ask for ask in asks if _key(ask.number) == _key(record.row.number)]
            for message in _debounced(record, of_key):
                yield Violation("debounce", message, record)


def _key(number: int) -> tuple[bool, int]:
    return number < numbers.DEBOUNCED, fixed.key_of(number)


def _began_at(record: RunRecord) -> datetime | None:
    """Return when the first code of a run ran: after its start had committed."""
    return min((line.at for line in record.lines), default=None)


def _collide(one: RunRecord, other: RunRecord) -> bool:
    """Whether code of the other ran while the first, of the same key, had not ended."""
    if one is other or fixed.key_of(one.row.number) != fixed.key_of(other.row.number):
        return False
    first, second = _began_at(one), _began_at(other)
    if first is None or second is None or second < first:
        return False
    return one.row.finished_at is None or second < one.row.finished_at


def _singles(runs: Mapping[UUID, RunRecord], asks: Sequence[Ask]) -> Iterator[Violation]:
    """What is answered is a run of the key that was live then."""
    for ask in asks:
        if ask.run_id is None or ask.run_id not in runs or ask.answered_at is None:
            continue
        record = runs[ask.run_id]
        ended = record.row.finished_at
        if _key(record.row.number) != _key(ask.number):
            yield Violation("singleton", f"{ask.number} was answered with another key", record)
        if record.row.created_at > ask.answered_at or (ended and ended < ask.asked_at):
            yield Violation("singleton", f"{ask.number} was answered with a run of then", record)


def _debounced(record: RunRecord, asks: Sequence[Ask]) -> Iterator[str]:
    """It has the input of the last of its starts, and began when these had been quiet."""
    own = [ask for ask in asks if ask.run_id == record.row.id]
    last = max(own, key=lambda ask: ask.asked_at, default=None)
    # A start that was interrupted may have counted, too.
    unsure = [ask for ask in asks if ask.run_id is None and (last is None or ask.id > last.id)]
    allowed = {ask.number for ask in (*own[-1:], *unsure)}
    if record.row.number not in allowed:
        yield f"its input is {record.row.number}, asked for were {sorted(allowed)} last"
    began = _began_at(record)
    if last is not None and began is not None and began < last.asked_at + fixed.QUIET:
        yield f"it began at {began}, and was asked for at {last.asked_at}"
