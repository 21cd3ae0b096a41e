"""How fast one company's calls may go out to one provider. Pure arithmetic.

A call takes the next place in the rate. Up to `burst` places may be used at once, so within any
minute there are at most `burst + minute / interval` calls.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

DAY = timedelta(days=1)
# How long a call may be silent before its place among the concurrent ones is given away.
CALL_LEASE = timedelta(seconds=60)
# When all concurrent places are taken: about the time of a call.
CONCURRENT_WAIT = timedelta(seconds=1)


@dataclass(frozen=True)
class Pace:
    """A provider's limits for one company: time between calls, calls at once, calls in a day."""

    interval: timedelta
    burst: int
    concurrent: int
    per_day: int | None = None


@dataclass(frozen=True)
class State:
    """Where a connection stands: `paced_until` is the end of the places that are given away."""

    paced_until: datetime | None
    blocked_until: datetime | None
    calls_until: tuple[datetime, ...]
    day_started_at: datetime | None
    day_calls: int


@dataclass(frozen=True)
class Permit:
    """A call may go out now: `until` marks its place among the concurrent ones."""

    state: State
    until: datetime


@dataclass(frozen=True)
class Wait:
    """Not now, but at `at`; `has_place` says that a place in the rate is taken for then."""

    state: State
    at: datetime
    has_place: bool


def decide(state: State, pace: Pace, *, now: datetime, place: datetime | None) -> Permit | Wait:
    """Say whether a call may go out; `place` is the one that this caller was given before."""
    state = _tidied(state, now)
    if state.blocked_until is not None and state.blocked_until > now:
        return Wait(state, state.blocked_until, has_place=False)
    if pace.per_day is not None and state.day_calls >= pace.per_day and state.day_started_at:
        return Wait(state, state.day_started_at + DAY, has_place=False)
    if place is not None and place > now:
        return Wait(state, place, has_place=True)
    if place is None:
        end = max(state.paced_until or now, now) + pace.interval
        at = end - pace.burst * pace.interval
        if at > now:
            return Wait(replace(state, paced_until=end), at, has_place=True)
    if len(state.calls_until) >= pace.concurrent:
        return Wait(state, now + CONCURRENT_WAIT, has_place=False)
    if place is None:
        state = replace(state, paced_until=end)
    until = _unused(now + CALL_LEASE, state.calls_until)
    return Permit(
        replace(
            state,
            calls_until=(*state.calls_until, until),
            day_started_at=state.day_started_at or now,
            day_calls=state.day_calls + 1,
        ),
        until,
    )


def _tidied(state: State, now: datetime) -> State:
    """Forget calls that were never ended, and a day that is over."""
    calls = tuple(until for until in state.calls_until if until > now)
    state = replace(state, calls_until=calls)
    if state.day_started_at is not None and state.day_started_at + DAY <= now:
        return replace(state, day_started_at=None, day_calls=0)
    return state


def _unused(until: datetime, taken: tuple[datetime, ...]) -> datetime:
    while until in taken:
        until += timedelta(microseconds=1)
    return until
