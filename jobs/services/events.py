"""Events for runs that wait for them."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from jobs.crashpoints import Point, reached
from jobs.errors import InvalidInput, RunRefused, UnknownRun
from jobs.models import Run
from jobs.services.sending import send_after_commit
from jobs.sizes import oversize
from jobs.transitions import waits
from jobs.transitions.claims import Claim
from jobs.values import to_json


def awaited_events(
    places: Collection[tuple[str | None, str | None]],
) -> frozenset[tuple[str, str | None]]:
    """Return those of the `(event_type, company)` that some run waits for; one query."""
    return frozenset(waits.awaited(places))


def offer_events(events: Sequence[tuple[str, str | None, Any, datetime]]) -> int:
    """Give each `(event_type, company, payload, recorded_at)` to the runs of that company which
    wait for it and are not younger; return how many went on. A wait takes one event, the first that
    matches.
    """
    members = [
        {"type": event_type, "company": company, "payload": payload, "at": recorded_at.isoformat()}
        for event_type, company, payload, recorded_at in events
    ]
    with transaction.atomic():
        wake_ups = waits.offer(json.dumps(members), resend=settings.JOBS_RESEND_AFTER)
        send_after_commit(wake_ups)
    return len(wake_ups)


def send_event(run_id: UUID, event_type: str, payload: Any) -> None:
    """Give an event to one run: the wait of that type takes it, now or when it is reached.

    Raises `UnknownRun`, `RunRefused` for a run that has ended, `InvalidInput` for what is no JSON.
    """
    what = f"payload of {event_type}"
    try:
        text = to_json(payload, what=what)
    except Exception as error:
        issues = getattr(error, "issues", [{"loc": (), "msg": str(error), "type": "json"}])
        raise InvalidInput(what, issues) from error
    if (issue := oversize(text)) is not None:
        raise InvalidInput(what, [issue])
    if not isinstance(payload, dict):
        message = f"must be an object, as the payloads that waits match, not {payload!r:.80}"
        raise InvalidInput(what, [{"loc": (), "msg": message, "type": "payload"}])
    with transaction.atomic():
        run = Run.objects.filter(pk=run_id).first()
        if run is None:
            raise UnknownRun(run_id)
        if run.is_ended:
            raise RunRefused(run_id, f"it has ended ({run.status}) and waits for nothing")
        waits.keep_signal(run_id, event_type=event_type, payload=text)
        send_after_commit(waits.take_signals(run_id, resend=settings.JOBS_RESEND_AFTER))


def begin_wait(held: Claim, *, match: str, timeout_seconds: float, past: Any) -> bool:
    """Register a wait, then look for what came before it; False if the lease was lost.

    Registered first: an event that the relay routes meanwhile finds the wait, and one that was
    routed before is in the outbox. Both may find it; the wait takes one.
    """
    with transaction.atomic():
        if not waits.register(held, match=match, seconds=timeout_seconds):
            return False
    reached(Point.WAIT_REGISTERED)
    resend = settings.JOBS_RESEND_AFTER
    with transaction.atomic():
        wake_ups = waits.take_signals(held.run_id, resend=resend)
        if not wake_ups:
            wake_ups = _from_the_past(held, past)
        send_after_commit(wake_ups)
    reached(Point.PAST_SEARCHED)
    return True


def last_look(held: Claim, *, match: str, past: Any) -> Any:
    """End a wait whose time is over; return the payload of an event that came and was not seen, or
    None.
    """
    with transaction.atomic():
        taken = waits.end(held, match=match)
    if taken:
        return taken[0]
    since = Run.objects.values_list("created_at", flat=True).get(pk=held.run_id)
    return next(
        (
            payload
            for payload in past(held.step, held.company, since)
            if waits.is_match(json.dumps(payload), match)
        ),
        None,
    )


def _from_the_past(held: Claim, past: Any) -> list[Any]:
    since = Run.objects.values_list("created_at", flat=True).get(pk=held.run_id)
    for payload in past(held.step, held.company, since):
        event = json.dumps([{"type": held.step, "company": held.company, "payload": payload}])
        found = waits.offer(event, resend=settings.JOBS_RESEND_AFTER, step_run_id=held.id)
        if found:
            return found
    return []
