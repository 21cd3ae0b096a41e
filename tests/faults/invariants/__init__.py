"""The engine's promises, I1 to I9, checked on what a history left in the tables.

Each check is a function of one run's record that yields what is wrong with it. I1 and I8 have
their other halves in `history`, which waits for the ends and replays the messages.
"""

from collections.abc import Callable, Iterator, Sequence

from tests.faults.invariants import asking, attempts, ends, kin, limits, order, rollback
from tests.faults.records import RunRecord
from tests.faults.report import Violation
from tests.faults.rows import Ask

Check = Callable[[RunRecord], Iterator[str]]

CHECKS: list[tuple[str, Check]] = [
    ("start", ends.exists_rightly),
    ("plan", ends.ended_as_planned),
    ("plan", ends.gave_the_right_output),
    ("I1", ends.left_nothing_open),
    ("I2", attempts.have_one_outcome),
    ("I2", attempts.are_numbered_without_gap),
    ("I3", attempts.have_one_key),
    ("I3", attempts.had_their_effects),
    ("I3", attempts.recalled_one_value),
    ("I4", order.values_were_there),
    ("I4", order.joins_ran_once),
    ("I4", order.lists_were_worked_off),
    ("I4", order.waits_had_their_time),
    ("I5", rollback.undid_each_once),
    ("I5", rollback.went_backwards),
    ("I5", rollback.waited_for_the_live),
    ("I5", rollback.was_given_the_right_data),
    ("I6", ends.told_of_success_only),
    ("I8", attempts.were_started_once),
    ("I9", attempts.were_lost_by_their_lease),
]


def check(found: Sequence[RunRecord], asks: Sequence[Ask] = ()) -> list[Violation]:
    """Return every violation in the records."""
    of_one = [
        Violation(invariant, message, record)
        for record in found
        for invariant, judge in CHECKS
        for message in judge(record)
    ]
    return [
        *of_one,
        *limits.were_kept(found),
        *kin.agree(found),
        *asking.were_answered(found, asks),
    ]
