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
