"""Where the engine can be killed: named points around its commits, for `jobs.testing`.

Nobody listens in production, and a point costs an empty loop. `written` is inside a transaction
that is not committed yet, unless it says otherwise; what is `-ed` is committed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum


class Point(StrEnum):
    """A moment at which a process may die, in the order in which a step meets them."""

    RECEIVED = "received"  # a message is in hand, nothing is claimed
    CLAIMED = "claimed"
    ADMITTED = "admitted"  # a place under a limit is taken
    LINED_UP = "lined-up"  # there is none: the step waits for one
    UNDO_SAVED = "undo-saved"  # `ctx.undo_with`; of an atomic step not committed
    MEMO_COMPUTED = "memo-computed"  # the function of `ctx.run` has returned, nothing is saved
    MEMO_SAVED = "memo-saved"  # of an atomic step not committed
    EVENT_SAVED = "event-saved"  # `ctx.publish`; of an atomic step not committed
    LEASE_EXTENDED = "lease-extended"  # `ctx.heartbeat` and `ctx.progress`
    CODE_RETURNED = "code-returned"  # the author's code is through, and no outcome recorded
    CODE_RAISED = "code-raised"  # likewise, and has failed
    OUTCOME_WRITTEN = "outcome-written"  # committed, but for atomic steps and failures
    OUTCOME_COMMITTED = "outcome-committed"  # of a step, before its place is given back
    FAILURE_COMMITTED = "failure-committed"
    POSTPONED = "postponed"  # the attempt has failed, the next one has its time
    PLACE_PASSED_ON = "place-passed-on"  # the next in line is due, its message not sent
    PUT_TO_WAIT = "put-to-wait"  # a sleep, or a wait; for events and children not committed
    WAIT_REGISTERED = "wait-registered"  # and what came before it is not looked for yet
    PAST_SEARCHED = "past-searched"
    CHILD_WRITTEN = "child-written"
    CHILD_STARTED = "child-started"
    ITEMS_WRITTEN = "items-written"
    UNFOLDED = "unfolded"  # an `each` is its items now
    TURN_WRITTEN = "turn-written"  # the run's end, or the begin of its rollback
    TURNED = "turned"
    CANCEL_WRITTEN = "cancel-written"
    CANCELLED = "cancelled"  # the run is told to stop, its waiting steps not given up yet
    CHILD_STOPPED = "child-stopped"  # a child run is told to stop with its parent
    GIVE_UP_WRITTEN = "give-up-written"
    GIVEN_UP = "given-up"  # a step of a stopping run that had not started
    DUE_WRITTEN = "due-written"  # the sweep has put due steps off by the resend interval
    DUE_COMMITTED = "due-committed"
    OVERDUE_STOPPED = "overdue-stopped"  # runs out of time are told to stop
    SENDING = "sending"  # what the messages speak of is committed, and none is sent
    SENT = "sent"


Listener = Callable[[Point], None]

_listeners: tuple[Listener, ...] = ()


def reached(point: Point) -> None:
    """Say that this process is at the point; a listener may raise, or end the process."""
    for listener in _listeners:
        listener(point)


@contextmanager
def listening(listener: Listener, *, first: bool = False) -> Iterator[None]:
    """Call the listener at each point of this process, before the others or after them."""
    global _listeners
    before = _listeners
    _listeners = (listener, *before) if first else (*before, listener)
    try:
        yield
    finally:
        _listeners = before
