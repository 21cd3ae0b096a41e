"""`manage.py alerts`."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from counterpoint.models import AlertRound, Incident, Notice
from counterpoint.monitoring.alerts.channels import channels
from counterpoint.monitoring.alerts.rules import RULES, limit_text
from jobs.management.terminal import console

TEST_TITLE = "Counterpoint: a test"
TEST_BODY = "This is a test of manage.py alerts --test. Nothing is wrong."
NONE = (
    "there is no channel: set ALERT_URLS, or ALERT_MAIL_TO (or OPERATORS) together with EMAIL_URL"
)


class Command(BaseCommand):
    help = (
        "Show the alert rules with their limits and incidents, and who is told; changes nothing."
        " With --test, send a message by each channel and say what became of it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--test", action="store_true", help="send a test message by each channel"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["test"]:
            self._test()
            return
        on = console(self.stdout)
        on.print(_last_look())
        on.print(_rules())
        _print_channels(on)

    def _test(self) -> None:
        found = channels()
        if not found:
            raise CommandError(NONE)
        failed = 0
        for name, channel in found.items():
            problem = channel.send(TEST_TITLE, TEST_BODY)
            self.stdout.write(f"{name}: {problem or 'sent'}")
            failed += problem is not None
        if failed:
            raise CommandError(f"{failed} of {len(found)} channels did not take it", returncode=1)


def _last_look() -> str:
    last = AlertRound.objects.filter(by__gt="").first()
    if last is None:
        return "never looked at: manage.py relay and beat do"
    return f"looked at {last.at:%Y-%m-%d %H:%M} UTC by {last.by}"


def _rules() -> Table:
    """Return a row for each rule and incident."""
    last = AlertRound.objects.first()
    problems = last.problems if last is not None else {}
    live: dict[str, list[Incident]] = {name: [] for name in RULES}
    for incident in Incident.objects.exclude(status=Incident.Status.CLOSED).order_by("began_at"):
        live.setdefault(incident.rule, []).append(incident)
    made = Table("rule", "fires when", "state", "since", "what", title="alerts")
    for name, incidents in live.items():
        limit = limit_text(name) if name in RULES else "no rule any more"
        for incident in incidents:
            since = f"{incident.began_at:%Y-%m-%d %H:%M}"
            made.add_row(name, limit, _state(incident), since, incident.text)
        if not incidents:
            made.add_row(name, limit, _idle(name, problems), "", problems.get(name, ""))
    return made


def _state(incident: Incident) -> str:
    if incident.status == Incident.Status.PENDING:
        return f"fires, {incident.fired} of {settings.ALERT_AFTER}"
    if incident.quiet:
        return f"OPEN, quiet {incident.quiet} of {settings.ALERT_CLEAR_AFTER}"
    return "OPEN"


def _idle(name: str, problems: dict[str, str]) -> str:
    if name in settings.ALERTS_OFF:
        return "off"
    return "could not look" if name in problems else "ok"


def _print_channels(on: Console) -> None:
    named = ", ".join(channels())
    on.print(f"told by: {named}" if named else f"told by nobody: {NONE}", markup=False)
    waiting = Notice.objects.filter(sent_at=None, given_up_at=None).order_by("id")
    for notice in waiting.select_related("incident")[:20]:
        text = f"not sent yet by {notice.channel}: {notice.incident.text}"
        on.print(f"{text} ({notice.error})" if notice.error else text, markup=False)
