"""Events that could not be routed as they stand: written down, so that the relay can go on.

Plain SQL may write into the outbox what Python has no value for (a time of `infinity`), or what the
table of deliveries refuses. One such event must neither stop all others nor vanish.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from django.db import DataError, IntegrityError, OperationalError, transaction

from subscriptions.errors import OddEvents
from subscriptions.statements import execute, fetch

log = structlog.get_logger(__name__)

SHOWN = 10
LONGEST_REASON = 500  # characters
LIMITS = "54"  # the class of SQLSTATEs that say a program limit was exceeded

NOTE = """
INSERT INTO event_system_unroutable (event_seq, event_id, company, reason)
SELECT seq, id, left(company, 200), %s FROM event_system_event WHERE seq = %s LIMIT 1
ON CONFLICT (event_seq) DO UPDATE SET reason = excluded.reason, noticed_at = clock_timestamp()
"""
NEWEST = """
SELECT event_seq, event_id, company, reason, noticed_at FROM event_system_unroutable
ORDER BY noticed_at DESC, event_seq DESC LIMIT %s
"""
# A new transaction id makes the relay read them as if they had just been written.
AGAIN = """
WITH noted AS (DELETE FROM event_system_unroutable RETURNING event_seq)
UPDATE event_system_event SET xid = pg_current_xact_id()
WHERE seq IN (SELECT event_seq FROM noted)
"""
FORGET = """
DELETE FROM event_system_unroutable u
WHERE NOT EXISTS (SELECT FROM event_system_event e WHERE e.seq = u.event_seq)
"""


@dataclass(frozen=True)
class Noted:
    """An event that was set aside, and why."""

    seq: int
    id: UUID
    company: str | None
    reason: str
    noticed_at: datetime


@dataclass(frozen=True)
class Unroutable:
    """How many events were set aside, and the newest of them."""

    count: int
    newest: list[Noted]


@contextmanager
def blamed_on_events() -> Iterator[None]:
    """Raise OddEvents for what goes wrong because of what the events hold."""
    try:
        yield
    except (DataError, IntegrityError, ValueError, ArithmeticError, RecursionError) as error:
        raise OddEvents(_reason(error)) from error
    except OperationalError as error:
        if not str(getattr(error.__cause__, "sqlstate", None)).startswith(LIMITS):
            raise
        raise OddEvents(_reason(error)) from error


def note(seq: int, reason: str) -> None:
    """Write down that the event was not routed, or not as usual."""
    execute(NOTE, [reason, seq])
    log.error("event_unroutable", seq=seq, reason=reason)


def found() -> Unroutable:
    """Return how many there are and the newest ten. Two queries."""
    [(count,)] = fetch("SELECT count(*) FROM event_system_unroutable", [])
    return Unroutable(count, [Noted(*row) for row in fetch(NEWEST, [SHOWN])])


def route_again() -> int:
    """Have the relay read all of them once more; return how many."""
    with transaction.atomic():
        return execute(AGAIN, [])


def forget() -> int:
    """Remove those whose event has been removed; return how many."""
    return execute(FORGET, [])


def _reason(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".strip().replace("\x00", "\ufffd")
    return text.encode(errors="replace").decode()[:LONGEST_REASON]
