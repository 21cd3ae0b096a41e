"""Steps that wait for events, and the events that meet them."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from uuid import UUID

from jobs.dispatch import WakeUp
from jobs.models import Run
from jobs.transitions import moves
from jobs.transitions.claims import Claim, wake_up
from jobs.transitions.rows import execute, from_json, rows


def register(held: Claim, *, match: str, seconds: float) -> bool:
    """Let a claimed step wait for an event whose payload contains `match`; False if the lease was
    lost. `seconds` is the time-out.
    """
    timeout = timedelta(seconds=seconds)
    if not moves.wait(held, after=timeout, waiting_for=Run.WaitingFor.EVENT):
        return False
    execute(
        "INSERT INTO jobs_wait (step_run_id, run_id, company, event_type, match, created_at)"
        " VALUES (%(id)s, %(run)s, %(company)s, %(type)s, %(match)s::jsonb, clock_timestamp())"
        " ON CONFLICT (step_run_id) DO NOTHING",
        {
            "id": held.id,
            "run": held.run_id,
            "company": held.company,
            "type": held.step,
            "match": match,
        },
    )
    return True


def awaited(
    places: Collection[tuple[str | None, str | None]],
) -> list[tuple[str, str | None]]:
    """Return those of the event types and companies that a wait names: two probes of its index
    each, however many waits there are.
    """
    types, companies = zip(*places, strict=True) if places else ((), ())
    return rows(
        # LIMIT keeps the planner from reading all waits into a hash table.
        "SELECT p.type, p.company FROM unnest(%(types)s::text[], %(companies)s::text[])"
        " AS p (type, company) CROSS JOIN LATERAL ("
        "(SELECT FROM jobs_wait WHERE event_type = p.type AND company = p.company LIMIT 1)"
        " UNION ALL (SELECT FROM jobs_wait WHERE p.company IS NULL AND event_type = p.type"
        " AND company IS NULL LIMIT 1)) AS w",
        {"types": list(types), "companies": list(companies)},
    )


def offer(events: str, *, resend: timedelta, step_run_id: int | None = None) -> list[WakeUp]:
    """Give events, a JSON array of `{"type", "company", "payload", "at"}`, to the waits that they
    match; of one step, or of all. The first event that matches a wait ends it; one with an "at",
    when it was recorded, counts for the runs that are not younger.
    """
    found = rows(
        "SELECT * FROM jobs_offer(%(events)s::jsonb, %(step)s, %(resend)s)",
        {"events": events, "resend": resend, "step": step_run_id},
    )
    return [wake_up(row) for row in found]


def keep_signal(run_id: UUID, *, event_type: str, payload: str) -> None:
    """Keep an event that was sent to one run until a wait takes it."""
    execute(
        "INSERT INTO jobs_signal (run_id, event_type, payload, created_at)"
        " VALUES (%(run)s, %(type)s, %(payload)s::jsonb, clock_timestamp())",
        {"run": run_id, "type": event_type, "payload": payload},
    )


def take_signals(run_id: UUID, *, resend: timedelta) -> list[WakeUp]:
    """Give the run's waits the oldest matching event each that was sent to it and is not taken."""
    found = rows(
        "SELECT * FROM jobs_take_signals(%(run)s, %(resend)s)", {"run": run_id, "resend": resend}
    )
    return [wake_up(row) for row in found]


def forget(step_run_id: int) -> None:
    """Remove the wait of a step that was given up; one that an event is just meeting goes with it.

    It waits for no lock: whoever offers events takes the wait before its step.
    """
    execute(
        "DELETE FROM jobs_wait WHERE step_run_id IN (SELECT step_run_id FROM jobs_wait"
        " WHERE step_run_id = %(id)s FOR UPDATE SKIP LOCKED)",
        {"id": step_run_id},
    )


def end(held: Claim, *, match: str) -> list[Any]:
    """Remove the wait of a claimed step whose time is over, and take the oldest matching event that
    was sent to its run; return its payload, if there is one. Taken by it before counts again.
    """
    execute("DELETE FROM jobs_wait WHERE step_run_id = %(id)s", {"id": held.id})
    found = rows(
        "UPDATE jobs_signal SET taken_by_id = %(id)s WHERE id = ("
        "SELECT id FROM jobs_signal WHERE run_id = %(run)s AND event_type = %(type)s"
        " AND (taken_by_id IS NULL OR taken_by_id = %(id)s) AND payload @> %(match)s::jsonb"
        " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING payload",
        {"id": held.id, "run": held.run_id, "type": held.step, "match": match},
    )
    return [from_json(payload) for (payload,) in found]


def is_match(payload: str, match: str) -> bool:
    """Whether the payload contains what a wait asks for, by the database's own comparison."""
    return bool(
        rows(
            "SELECT 1 WHERE %(payload)s::jsonb @> %(match)s::jsonb",
            {"payload": payload, "match": match},
        )
    )
