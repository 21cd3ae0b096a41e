"""What nobody came for: lost messages, retries whose time has come, dead workers, ended pauses."""

from datetime import datetime

import structlog
from django.conf import settings

from subscriptions import handing
from subscriptions.deliveries import queueing
from subscriptions.deliveries.breaker import PROBE_LEASE
from subscriptions.handing import Waiting
from subscriptions.statements import fetch_prepared

log = structlog.get_logger(__name__)

RELEASED_AT_ONCE = 2000  # a third of what sweeps send in the same time
EXPIRED_AT_ONCE = 10_000

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
RETURNING d.handler_type, d.subscription_id, ARRAY[d.id]
"""


def sweep(*, now: datetime | None = None, limit: int = 1000) -> int:
    """Send what is due again; return how many deliveries that were. `now` is for tests."""
    due = [
        Waiting(*row) for row in fetch_prepared(DUE, [settings.DELIVERY_RESEND_AFTER, now, limit])
    ]
    handing.send(due)
    return len(due)


def tend(*, now: datetime | None = None, limit: int = RELEASED_AT_ONCE) -> None:
    """Let go what nothing stops any more, send probes, and end what was held too long.

    About once a second; what it makes pending is sent by the next sweep.
    """
    queueing.send_probes(lease=PROBE_LEASE, now=now)
    queueing.release(limit=limit)
    expired = queueing.expire_held(limit=EXPIRED_AT_ONCE, now=now)
    if expired:
        log.warning("held_deliveries_expired", count=expired)
