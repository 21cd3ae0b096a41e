"""Send what is to be told: each message once, again if that failed, the end after the beginning."""

from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models.functions import Now
from django.urls import reverse

from counterpoint.models import Incident, Notice
from counterpoint.monitoring.alerts.channels import channels
from counterpoint.monitoring.alerts.rules import RULES, limit_text
from subscriptions.mails import one_line
from subscriptions.statements import fetch

log = structlog.get_logger(__name__)

LEASE = timedelta(minutes=5)  # longer than any sending takes
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(minutes=15)
GIVE_UP_AFTER = timedelta(days=1)
AT_ONCE = 50

CLAIM = """
UPDATE counterpoint_notice SET attempts = attempts + 1, due_at = clock_timestamp() + %s
WHERE id = (
    SELECT n.id FROM counterpoint_notice n
    WHERE n.sent_at IS NULL AND n.given_up_at IS NULL AND n.due_at <= clock_timestamp()
        AND NOT (n.kind = 'closed' AND EXISTS (
            SELECT FROM counterpoint_notice o
            WHERE o.incident_id = n.incident_id AND o.channel = n.channel AND o.kind = 'opened'
                AND o.sent_at IS NULL AND o.given_up_at IS NULL))
    ORDER BY n.due_at, n.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id
"""


def send_due() -> int:
    """Send what is due, one after another, outside any transaction; return how many went out.

    A process that dies right after a sending leaves it to be sent once more, after the lease.
    """
    sent = 0
    for _ in range(AT_ONCE):
        claimed = fetch(CLAIM, [LEASE])
        if not claimed:
            break
        sent += _send(Notice.objects.select_related("incident").get(pk=claimed[0][0]))
    return sent


def _send(notice: Notice) -> bool:
    channel = channels().get(notice.channel)
    mine = Notice.objects.filter(
        pk=notice.pk, attempts=notice.attempts, sent_at=None, given_up_at=None
    )
    if channel is None:
        mine.update(given_up_at=Now(), error="the settings have no such channel any more")
        return False
    problem = channel.send(title(notice.incident, notice.kind), body(notice.incident, notice.kind))
    if problem is None:
        mine.update(sent_at=Now(), error="")
        return True
    log.warning("notice_not_sent", channel=notice.channel, error=problem)
    pause = min(FIRST_PAUSE * 2 ** min(notice.attempts - 1, 10), LONGEST_PAUSE)
    mine.update(due_at=Now() + pause, error=problem)
    # Of a day ago, by the database's clock.
    mine.filter(created_at__lt=Now() - GIVE_UP_AFTER).update(given_up_at=Now())
    return False


def title(incident: Incident, kind: str) -> str:
    """Return the message's subject, in one line."""
    over = "over: " if kind == Notice.Kind.CLOSED else ""
    return one_line(f"Counterpoint: {over}{incident.text}")[:200]


def body(incident: Incident, kind: str) -> str:
    """Return what is said of it: since when, by which rule, what to do, where to look."""
    page = reverse("admin:counterpoint_incident_change", args=(incident.pk,))
    known = RULES.get(incident.rule)
    lines = [
        f"{incident.text[0].upper()}{incident.text[1:]}.",
        "",
        f"Rule: {incident.rule}" + (f" ({limit_text(incident.rule)})" if known else ""),
        f"Since: {incident.began_at:%Y-%m-%d %H:%M:%S} UTC",
    ]
    if kind == Notice.Kind.CLOSED and incident.closed_at is not None:
        lines += [f"Last seen: {incident.seen_at:%Y-%m-%d %H:%M:%S} UTC", "It is over."]
    elif known:
        lines += ["", known.advice]
    return "\n".join([*lines, "", f"{settings.SITE_URL.rstrip('/')}{page}"])
