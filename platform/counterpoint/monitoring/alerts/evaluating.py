"""Look at all rules once a minute of the database's clock, in one process of all that watch."""

import os
import socket
from collections.abc import Callable
from datetime import datetime
from functools import cache

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction

from counterpoint.models import AlertRound
from counterpoint.monitoring.alerts import incidents
from counterpoint.monitoring.alerts.looking import Look, Unknown
from counterpoint.monitoring.alerts.rules import RULES, Finding, limit_of
from counterpoint.monitoring.depths import Depths, Gauge
from subscriptions.statements import execute, fetch

log = structlog.get_logger(__name__)

MOST_SECONDS = 10  # that one rule may ask the database for
Found = dict[str, list[Finding] | None]

BEGIN = """
INSERT INTO counterpoint_alertround (id, at, by, history, problems)
VALUES (1, to_timestamp(0), '', '[]', '{}') ON CONFLICT DO NOTHING
"""
# Who gets the minute looks; whoever comes later in it finds it taken.
TAKE = """
UPDATE counterpoint_alertround SET at = date_trunc('minute', clock_timestamp()), by = %s
WHERE at < date_trunc('minute', clock_timestamp())
    OR at > clock_timestamp() + interval '1 minute'  -- the clock was set back
RETURNING at, clock_timestamp()
"""


def turn(*, measure: Callable[[], Depths] | None = None) -> bool:
    """Look, unless another process does in this minute; say whether this one did."""
    execute(BEGIN, [])
    taken = fetch(TAKE, [f"{socket.gethostname()}:{os.getpid()}"])
    if not taken:
        return False
    [(minute, now)] = taken
    look = Look(AlertRound.objects.get(), now=now, measure=measure or measured)
    found, problems = ask(look)
    return _settle(look, found, problems, minute=minute)


def ask(look: Look) -> tuple[Found, dict[str, str]]:
    """Return each rule's findings, None where it could not look, and why it could not."""
    found: Found = {}
    problems: dict[str, str] = {}
    for name, described in RULES.items():
        if name in settings.ALERTS_OFF:
            continue
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = '{MOST_SECONDS}s'")
                found[name] = list(described.find(look, limit_of(name)))
        except (DatabaseError, InterfaceError, Unknown) as error:
            found[name], problems[name] = None, str(error).strip()[:300]
            log.warning("alert_rule_not_looked_at", rule=name, error=problems[name])
    return found, problems


def _settle(look: Look, found: Found, problems: dict[str, str], *, minute: datetime) -> bool:
    """Write it all down, unless this took so long that another minute was begun meanwhile."""
    with transaction.atomic():
        if AlertRound.objects.select_for_update().filter(at=minute).first() is None:
            return False
        incidents.settle(found, now=look.now)
        AlertRound.objects.filter(at=minute).update(history=look.history, problems=problems)
    return True


def measured() -> Depths:
    """Ask SQS how full the queues are."""
    return _gauge().measure(settings.QUEUES)


@cache
def _gauge() -> Gauge:
    return Gauge()
