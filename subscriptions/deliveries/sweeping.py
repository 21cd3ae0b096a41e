"""What nobody came for: lost messages, retries whose time has come, dead workers, ended pauses."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings

from subscriptions import handing
from subscriptions.deliveries import queueing
from subscriptions.deliveries.admission import Ruled, Status
from subscriptions.deliveries.breaker import PROBE_LEASE
from subscriptions.deliveries.claiming import rule
from subscriptions.handing import Waiting
from subscriptions.handlers.contract import registered
from subscriptions.statements import fetch_prepared

log = structlog.get_logger(__name__)

RELEASED_AT_ONCE = 2000  # a third of what sweeps send in the same time
EXPIRED_AT_ONCE = 10_000
UNKNOWN_TYPE = "no worker knows the handler type"
GRACE = timedelta(hours=1)  # for a release that knows it

# The cases look the same from here: all are sent, and the claim decides who acts.
DUE = """
UPDATE event_system_delivery d
SET status = 'pending', due_at = clock_timestamp() + %s
FROM (
    SELECT id, event_at FROM event_system_delivery
    WHERE status IN ('pending', 'running', 'retrying', 'waiting', 'queued')
        AND due_at <= COALESCE(%s, now())
    ORDER BY due_at, event_seq LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE d.id = due.id AND d.event_at = due.event_at
RETURNING d.handler_type, d.subscription_id, ARRAY[d.id], d.error
"""


def sweep(*, now: datetime | None = None, limit: int = 1000) -> int:
    """Send what is due again; return how many deliveries that were. `now` is for tests."""
    found = fetch_prepared(DUE, [settings.DELIVERY_RESEND_AFTER, now, limit])
    known = registered()
    due = [Waiting(*row[:3]) for row in found if row[0] in known]
    handing.send(due)
    _set_aside([(Waiting(*row[:3]), row[3]) for row in found if row[0] not in known])
    return len(due)


def _set_aside(found: Sequence[tuple[Waiting, str]]) -> None:
    """Queue deliveries of a handler type that nobody registers, visibly, once; then end them.

    While releases change, one that this process does not know may be known to another.
    """
    if not found:
        return
    told = f"; known here: {', '.join(registered())}"
    rule(
        [
            Ruled(one.ids[0], Status.DEAD, f"{UNKNOWN_TYPE} {one.handler_type}{told}")
            if error.startswith(UNKNOWN_TYPE)
            else Ruled(one.ids[0], Status.QUEUED, f"{UNKNOWN_TYPE} {one.handler_type}{told}", GRACE)
            for one, error in found
        ],
        candidates=(),
        known={},
    )
    types = sorted({one.handler_type for one, _ in found})
    log.warning("handler_types_unknown", handler_types=types, deliveries=len(found))


def tend(*, now: datetime | None = None, limit: int = RELEASED_AT_ONCE) -> None:
    """Let go what nothing stops any more, send probes, and end what was held too long.

    About once a second; what it makes pending is sent by the next sweep.
    """
    queueing.send_probes(lease=PROBE_LEASE, now=now)
    queueing.release(limit=limit)
    expired = queueing.expire_held(limit=EXPIRED_AT_ONCE, now=now)
    if expired:
        log.warning("held_deliveries_expired", count=expired)
