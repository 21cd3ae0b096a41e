"""System checks of the project's own settings."""

from typing import Any

from django.conf import settings
from django.core.checks import Error, register

from counterpoint.monitoring.alerts.rules import RULES


@register
def alert_rules(**_: Any) -> list[Error]:
    """counterpoint.E001: rules that are switched off must be rules."""
    unknown = sorted(set(settings.ALERTS_OFF) - set(RULES))
    if not unknown:
        return []
    return [
        Error(
            f"ALERTS_OFF names no rule: {', '.join(unknown)}",
            hint=f"It takes some of {', '.join(sorted(RULES))}.",
            id="counterpoint.E001",
        )
    ]


@register
def alert_urls(**_: Any) -> list[Error]:
    """counterpoint.E002: what alerts are sent to has the form of a URL, which is not repeated."""
    wrong = [
        str(place)
        for place, url in enumerate(settings.ALERT_URLS, start=1)
        if not all(url.partition("://"))
    ]
    if not wrong:
        return []
    return [
        Error(
            f"ALERT_URLS: number {', '.join(wrong)} is no URL such as slack://…",
            hint="They are separated by commas; a comma within one is written %2C.",
            id="counterpoint.E002",
        )
    ]
