"""A dead letter once more: as it was sent, or edited; one at once, many at a rate.

What is replayed goes the way of a message that has just come, and keeps its id: what is an event
already does not become one again.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models.functions import Now

from subscriptions.dead_letters.choosing import Choice
from subscriptions.errors import CannotReplay
from subscriptions.ingest import envelopes, filing
from subscriptions.ingest.companies import configured
from subscriptions.ingest.envelopes import Incoming, Refusal
from subscriptions.ingest.message import Message
from subscriptions.models import DeadLetter, Inbox
from subscriptions.statements import execute, fetch

log = structlog.get_logger(__name__)

HIGHEST_RATE = 500.0  # a second
MOST_SCHEDULED = 100_000
MOST_AT_ONCE = 200

SCHEDULE = """
UPDATE event_system_dead_letter d
SET replay_at = clock_timestamp() + (chosen.place - 1) * %(gap)s::interval, decided_by = %(by)s
FROM (SELECT id, row_number() OVER (ORDER BY id) AS place
      FROM event_system_dead_letter WHERE id = ANY (%(ids)s)) AS chosen
WHERE d.id = chosen.id AND d.status = 'open' AND d.replay_at IS NULL
"""

DUE = """
SELECT id, decided_by FROM event_system_dead_letter
WHERE replay_at <= clock_timestamp() ORDER BY replay_at LIMIT %s
"""


def replay(
    dead_letter_id: int, *, by: str, body: bytes | None = None, company: str | None = None
) -> UUID:
    """Put a dead letter into the outbox and return its event's id; `body` replaces what was sent.

    `company`: the event must be this company's, whatever the body says; None: any. Raises
    CannotReplay if it was decided before, or still cannot be an event: then it stays open.
    """
    with transaction.atomic():
        dead = _locked(dead_letter_id)
        event = _read(dead, bytes(dead.body) if body is None else body)
        if company is not None and event.company != company:
            raise CannotReplay(f"it would be an event of another company than {company!r}")
        filed = filing.insert_halves([event])
        if filed.dead:
            raise CannotReplay(filed.dead[0].problem)
        event_id = _event_id(event)
        changed = DeadLetter.objects.filter(pk=dead.pk, status=DeadLetter.Status.OPEN).update(
            status=DeadLetter.Status.REPLAYED,
            replay_at=None,
            replayed_body=body,
            event_id=event_id,
            decided_by=by,
            decided_at=Now(),
            decision="" if filed.events else "it was an event already",
        )
    log.info("dead_letter_replayed", id=dead_letter_id, event_id=str(event_id), rows=changed)
    return event_id


def schedule(choice: Choice, *, rate: float, by: str) -> int:
    """Have those replayed by ingest, at so many a second; return how many, 100,000 at most."""
    if not 0 < rate <= HIGHEST_RATE:
        raise CannotReplay(f"rate: more than 0 and at most {HIGHEST_RATE:g} a second")
    rows = choice.rows().filter(replay_at=None).order_by("pk")
    ids = list(rows.values_list("pk", flat=True)[:MOST_SCHEDULED])
    return execute(SCHEDULE, {"gap": timedelta(seconds=1 / rate), "by": by, "ids": ids})


def replay_due(*, limit: int = MOST_AT_ONCE) -> int:
    """Replay what is due now; return how many became events. What cannot stays open, and why."""
    replayed = 0
    for dead_letter_id, by in fetch(DUE, [limit]):
        try:
            replay(dead_letter_id, by=by)
        except CannotReplay as error:
            DeadLetter.objects.filter(pk=dead_letter_id, status=DeadLetter.Status.OPEN).update(
                replay_at=None, problem=filing.printable(str(error))
            )
        else:
            replayed += 1
    return replayed


def discard(choice: Choice | list[int], *, by: str, why: str) -> int:
    """Close dead letters for good, chosen or by id; return how many. Their rows stay."""
    if not why.strip():
        raise CannotReplay("discarding needs a reason")
    rows = choice.rows() if isinstance(choice, Choice) else DeadLetter.objects.filter(pk__in=choice)
    return rows.filter(status=DeadLetter.Status.OPEN).update(
        status=DeadLetter.Status.DISCARDED,
        replay_at=None,
        decided_by=by,
        decided_at=Now(),
        decision=why,
    )


def _locked(dead_letter_id: int) -> DeadLetter:
    found = DeadLetter.objects.select_for_update().filter(pk=dead_letter_id).first()
    if found is None:
        raise CannotReplay(f"there is no dead letter {dead_letter_id}")
    if found.status != DeadLetter.Status.OPEN:
        raise CannotReplay(f"it was {found.status} by {found.decided_by or 'somebody'} before")
    return found


def _read(dead: DeadLetter, body: bytes) -> Incoming:
    """Read it as the message it was: what settings say of its queue and sender holds now, too."""
    attributes: dict[str, Any] = dead.attributes if isinstance(dead.attributes, dict) else {}
    message = Message(
        queue=dead.queue,
        id=dead.message_id,
        handle="",
        body=body.decode("utf-8", "surrogatepass"),
        sender=attributes.get("system", {}).get("SenderId", ""),
        sent_at=dead.sent_at,
        receive_count=dead.receive_count,
        attributes=attributes,
    )
    found = envelopes.read(message, configured())
    if isinstance(found, Refusal):
        raise CannotReplay(f"{found.reason}: {found.problem}")
    return found


def _event_id(event: Incoming) -> UUID:
    company, source, source_id = event.identity
    found = Inbox.objects.get(company=company, source=source, source_id=source_id)
    return found.event_id
