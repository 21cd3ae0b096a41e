"""How incidents begin, go on and end. Called under the lock of the round's row: one writer."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from django.conf import settings
from django.db.models import F
from django.db.models.functions import Now

from counterpoint.models import Incident, Notice
from counterpoint.monitoring.alerts import channels
from counterpoint.monitoring.alerts.rules import Finding

log = structlog.get_logger(__name__)

Status = Incident.Status
KEPT = timedelta(days=90)


def settle(found: Mapping[str, Sequence[Finding] | None], *, now: datetime) -> None:
    """Carry the findings of one look into the incidents; a rule's None says: not known, wait.

    It takes `ALERT_AFTER` looks in a row to open one and `ALERT_CLEAR_AFTER` to close it, so that
    what comes and goes makes one message and not ten.
    """
    live = {(one.rule, one.subject): one for one in Incident.objects.exclude(status=Status.CLOSED)}
    for rule, findings in found.items():
        for finding in findings or ():
            _fires(live.pop((rule, finding.subject), None), rule, finding, now=now)
    for incident in live.values():
        # A rule that is switched off, or gone with a release, has nothing more to say.
        if found.get(incident.rule, ()) is not None:
            _is_quiet(incident, now=now)


def forget(*, after: timedelta = KEPT) -> int:
    """Delete incidents that ended so long ago, with their messages; return how many rows went."""
    old = Incident.objects.filter(status=Status.CLOSED, closed_at__lt=Now() - after)
    return old.delete()[0]


def _fires(incident: Incident | None, rule: str, finding: Finding, *, now: datetime) -> None:
    if incident is None:
        incident = Incident.objects.create(
            rule=rule,
            subject=finding.subject,
            text=finding.text,
            value=finding.value,
            began_at=now,
            seen_at=now,
        )
    else:
        Incident.objects.filter(pk=incident.pk).update(
            text=finding.text, value=finding.value, seen_at=now, fired=F("fired") + 1, quiet=0
        )
        incident.fired += 1
    if incident.status == Status.PENDING and incident.fired >= settings.ALERT_AFTER:
        _open(incident, now=now)


def _open(incident: Incident, *, now: datetime) -> None:
    opened = Incident.objects.filter(pk=incident.pk, status=Status.PENDING)
    if opened.update(status=Status.OPEN, opened_at=now):
        _tell(incident, Notice.Kind.OPENED)


def _is_quiet(incident: Incident, *, now: datetime) -> None:
    if incident.status == Status.PENDING:
        Incident.objects.filter(pk=incident.pk).delete()
        return
    Incident.objects.filter(pk=incident.pk).update(quiet=F("quiet") + 1, fired=0)
    if incident.quiet + 1 >= settings.ALERT_CLEAR_AFTER:
        closed = Incident.objects.filter(pk=incident.pk, status=Status.OPEN)
        if closed.update(status=Status.CLOSED, closed_at=now):
            _tell(incident, Notice.Kind.CLOSED)


def _tell(incident: Incident, kind: Notice.Kind) -> None:
    log.warning("incident", now_is=kind, rule=incident.rule, subject=incident.subject)
    Notice.objects.bulk_create(
        [Notice(incident=incident, kind=kind, channel=name) for name in channels.names()],
        ignore_conflicts=True,
    )
