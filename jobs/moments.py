"""Durable waiting in a workflow: for a time, for a moment, for an event. No worker is held."""

from datetime import datetime, timedelta
from typing import Any

from jobs import shapes
from jobs.errors import DefinitionError
from jobs.plan import Kind
from jobs.symbols import Symbol, express
from jobs.tracing import caller, tracing_for
from jobs.values import Codec

SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=366)
MAX_EVENT_TYPE = 200


def sleep(duration: timedelta, /) -> None:
    """Go on after the duration, from a second to a year."""
    trace = tracing_for("sleep()")
    seconds = _seconds(duration, f"sleep({duration!r})")
    inputs = {"seconds": {"$value": seconds}}
    trace.add(trace.numbered("sleep"), "", inputs, kind=Kind.SLEEP)


def sleep_until(moment: datetime | str, /) -> None:
    """Go on at the moment: an aware datetime or its ISO 8601 text, or a value that will be one."""
    trace = tracing_for("sleep_until()")
    if isinstance(moment, Symbol):
        known = moment._annotation
        if not {Any, datetime, str}.intersection(shapes.alternatives(known)):
            raise DefinitionError(
                f"{caller()}: sleep_until() takes a moment, and {moment!r} is"
                f" {shapes.name_of(known)}; make a datetime of it with transform()"
            )
    else:
        _check_aware(moment)
    inputs = {"until": express(moment, Codec(datetime), what="sleep_until()")}
    trace.add(trace.numbered("sleep-until"), "", inputs, kind=Kind.SLEEP)


def wait_for(
    event_type: str, /, *, match: dict[str, Any] | None = None, timeout: timedelta
) -> dict[str, Any] | None:
    """Wait for an event of the type whose payload contains `match`; return its payload, or None
    when the time is over.

    `match` may hold symbolic values. An event that came after the run's start counts. The time-out
    is from a second to a year.
    """
    trace = tracing_for("wait_for()")
    if not isinstance(event_type, str) or not 0 < len(event_type) <= MAX_EVENT_TYPE:
        raise DefinitionError(
            f"{caller()}: wait_for({event_type!r:.80}): it takes an event's type, a text of 1 to"
            f" {MAX_EVENT_TYPE} characters"
        )
    wanted = {} if match is None else match
    if not isinstance(wanted, dict) or not all(isinstance(key, str) for key in wanted):
        raise DefinitionError(
            f"{caller()}: wait_for(match={match!r}): it takes a dict with text keys"
        )
    seconds = _seconds(timeout, f"wait_for(timeout={timeout!r})")
    inputs = {"match": express(wanted, Codec(dict[str, Any]), what="wait_for(match)")}
    name = trace.numbered("wait-for")
    node = trace.add(name, event_type, inputs, kind=Kind.WAIT, extra={"timeout": seconds})
    payload: Any = Symbol({"$ref": node, "path": []}, dict[str, Any] | None, trace.open)
    return payload  # type: ignore[no-any-return]  # a symbol stands for it


def _seconds(duration: Any, what: str) -> float:
    """Return the duration in seconds, whole ones as an int."""
    if not isinstance(duration, timedelta) or not SHORTEST <= duration <= LONGEST:
        raise DefinitionError(
            f"{caller()}: {what}: it takes a timedelta from 1 second to 1 year; for a moment that"
            " is known only at run time there is sleep_until(value)"
        )
    seconds = duration.total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


def _check_aware(moment: Any) -> None:
    try:
        parsed = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        parsed = None
    if not isinstance(parsed, datetime) or parsed.tzinfo is None:
        raise DefinitionError(
            f"{caller()}: sleep_until({moment!r}): it takes a datetime with a time zone, such as"
            " datetime(2026, 1, 31, 9, tzinfo=UTC), or its ISO 8601 text"
        )
