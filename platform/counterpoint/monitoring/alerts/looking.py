"""What the rules look at, asked for once a look and only if a rule wants it."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings

from counterpoint.models import AlertRound, Heartbeat
from counterpoint.monitoring import heartbeats, standing
from counterpoint.monitoring.depths import Depth, Depths
from subscriptions import backlog
from subscriptions.backlog import Reader
from subscriptions.statements import fetch

WINDOW = timedelta(minutes=5)
COUNTED = 100_000

TOTALS = """
SELECT CASE family WHEN 'attempts' THEN 'tries of ' || handler ELSE 'runs of ' || type END,
    sum(count)::bigint, (sum(count) FILTER (WHERE outcome = 'failed'))::bigint
FROM counterpoint_tally WHERE family IN ('attempts', 'runs') GROUP BY 1
"""
EXPIRED = """
SELECT handler_type, count(*) FROM event_system_delivery
WHERE status IN ('dead', 'expired', 'canceled', 'blocked', 'superseded') AND status = 'expired'
    AND COALESCE(finished_at, created_at) >= clock_timestamp() - interval '1 hour'
GROUP BY 1
"""
UNROUTABLE = "SELECT count(*) FROM (SELECT FROM event_system_unroutable LIMIT %s) AS u"

Totals = Mapping[str, tuple[int, int]]


class Unknown(Exception):
    """What a rule wants to look at cannot be seen now: its incidents stay as they are."""


class Look:
    """One look at everything, at `now` of the database's clock."""

    def __init__(self, round_: AlertRound, *, now: datetime, measure: Callable[[], Depths]) -> None:
        self.now = now
        self._round = round_
        self._measure = measure

    @cached_property
    def depths(self) -> Depths:
        return self._measure()

    @property
    def queues(self) -> list[Depth]:
        """Raises Unknown if SQS does not tell."""
        if self.depths.problem is not None:
            raise Unknown(self.depths.problem)
        return self.depths.queues

    @cached_property
    def readers(self) -> list[Reader]:
        return backlog.readers()

    @cached_property
    def in_default(self) -> dict[str, int]:
        return backlog.in_default()

    @cached_property
    def stuck(self) -> dict[str, int]:
        return standing.stuck_steps(settings.ALERT_STUCK_AFTER)

    @cached_property
    def beat_silence(self) -> timedelta:
        """How long ago beat was seen; one that never was is waited for from the first look on."""
        seen = Heartbeat.objects.filter(pk=heartbeats.BEAT).values_list("seen_at", flat=True)
        return self.now - (seen.first() or self._round.began_at)

    @cached_property
    def expired(self) -> dict[str, int]:
        return dict(fetch(EXPIRED, []))

    @cached_property
    def dead_letters(self) -> dict[str, int]:
        return standing.open_dead_letters()

    @cached_property
    def unroutable(self) -> dict[str, int]:
        [(count,)] = fetch(UNROUTABLE, [COUNTED])
        return {"relay": count}

    @cached_property
    def totals(self) -> Totals:
        """How many tries and runs there have been, and how many of them failed, since ever."""
        return {name: (total, failed or 0) for name, total, failed in fetch(TOTALS, [])}

    @property
    def lately(self) -> Totals:
        """The same of the last minutes; empty as long as none are remembered."""
        totals = self.totals  # also where there is nothing yet to compare it with
        if not self._round.history:
            return {}
        before: dict[str, list[int]] = self._round.history[0]["totals"]
        found = {}
        for name, (total, failed) in totals.items():
            was_total, was_failed = before.get(name, (0, 0))
            if total > was_total:
                found[name] = (total - was_total, max(failed - was_failed, 0))
        return found

    @property
    def history(self) -> list[dict[str, Any]]:
        """What the next look is to remember: this one, if it could be, and those not too old."""
        begins = (self.now - WINDOW).timestamp()
        kept = [one for one in self._round.history if one["at"] >= begins]
        if "totals" not in self.__dict__:
            return kept
        return [*kept, {"at": self.now.timestamp(), "totals": self.totals}]
