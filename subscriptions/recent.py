"""How a subscription has been doing: its newest deliveries and the share that arrived."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from subscriptions.models import Delivery, DeliveryAttempt

MOST_COUNTED = 10_000
DAY = timedelta(days=1)

# The newest by index, as many as count: however many there are, no more is read.
_RATE = """
SELECT count(*) FILTER (WHERE d.status IN ('delivered', 'superseded')),
    count(*) FILTER (WHERE d.status IN ('dead', 'expired', 'blocked')),
    count(*) FILTER (WHERE d.status NOT IN
        ('delivered', 'superseded', 'dead', 'expired', 'blocked', 'canceled')),
    count(*)
FROM (
    SELECT status, created_at FROM event_system_delivery
    WHERE subscription_id = %s ORDER BY id DESC LIMIT %s
) AS d WHERE d.created_at > now() - make_interval(secs => %s)
"""


@dataclass(frozen=True)
class Rate:
    """Of the deliveries made in the last day: those that arrived, that failed for good, that are
    still open. `is_capped`: there were more than 10,000, and these are the newest.
    """

    delivered: int
    failed: int
    open: int
    is_capped: bool

    @property
    def percent(self) -> float | None:
        """The share of those that ended which arrived; None if none has ended."""
        ended = self.delivered + self.failed
        return 100 * self.delivered / ended if ended else None


@dataclass(frozen=True)
class Recent:
    delivery: Delivery
    last: DeliveryAttempt | None

    @property
    def took(self) -> str:
        return "" if self.last is None else milliseconds(self.last.duration)


def milliseconds(duration: timedelta) -> str:
    """Return a duration as people read it: `12 ms`."""
    return f"{duration / timedelta(milliseconds=1):,.0f} ms"


def rate(subscription_id: int, *, within: timedelta = DAY) -> Rate:
    """Count a subscription's deliveries of the last day. One query, of 10,000 rows at most."""
    with connection.cursor() as cursor:
        cursor.execute(_RATE, [subscription_id, MOST_COUNTED, within.total_seconds()])
        delivered, failed, still_open, counted = cursor.fetchone() or (0, 0, 0, 0)
    return Rate(delivered, failed, still_open, counted == MOST_COUNTED)


def newest(subscription_id: int, *, limit: int = 10) -> list[Recent]:
    """Return a subscription's newest deliveries, each with its last attempt. Two queries."""
    rows = Delivery.objects.filter(subscription_id=subscription_id).order_by("-id")[:limit]
    deliveries = list(rows)
    last = last_attempts(delivery.pk for delivery in deliveries)
    return [Recent(delivery, last.get(delivery.pk)) for delivery in deliveries]


def last_attempts(delivery_ids: Iterable[int]) -> dict[int, DeliveryAttempt]:
    """Return the last attempt of each delivery that had one. One query."""
    tries = DeliveryAttempt.objects.filter(delivery_id__in=list(delivery_ids)).order_by("id")
    return {attempt.delivery_id: attempt for attempt in tries}
