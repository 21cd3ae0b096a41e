"""When a subscription whose receiver fails is left alone, for a while or for good: arithmetic."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

OPENS_AFTER = 10  # failures in a row
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(minutes=15)
DISABLED_AFTER = timedelta(days=5)
# A probe that nobody reports on makes room for the next after this.
PROBE_LEASE = timedelta(minutes=1)


@dataclass(frozen=True)
class Breaker:
    """`failures` are in a row since `failing_since`; it is open while `open_until` is set.

    `openings` counts those since the last success, and doubles the pause.
    """

    failures: int = 0
    failing_since: datetime | None = None
    openings: int = 0
    open_until: datetime | None = None
    probe_id: int | None = None

    def after(self, is_delivered: bool, delivery_id: int, *, now: datetime) -> "Breaker":
        """Return the breaker after one try has ended."""
        if is_delivered:
            return Breaker()
        failed = replace(self, failures=self.failures + 1, failing_since=self.failing_since or now)
        is_probe = self.open_until is not None and delivery_id == self.probe_id
        if failed.failures < OPENS_AFTER or (self.open_until is not None and not is_probe):
            return failed
        pause = min(FIRST_PAUSE * 2 ** min(self.openings, 10), LONGEST_PAUSE)
        return replace(failed, openings=self.openings + 1, open_until=now + pause, probe_id=None)

    def is_hopeless(self, *, now: datetime) -> bool:
        """Whether it has failed for so long, and so often, that the subscription is disabled."""
        if self.failing_since is None or not self.openings:
            return False
        return now - self.failing_since >= DISABLED_AFTER
