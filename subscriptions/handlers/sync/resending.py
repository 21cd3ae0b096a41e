"""Records sent again because somebody asks for it: by their last deliveries, through the queue."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import Q
from django.db.models.functions import Now

from subscriptions.deliveries.replaying import replay
from subscriptions.errors import SubscriptionsError
from subscriptions.models import ExternalMapping


@dataclass
class Resent:
    """How many records are on their way, and why some are not, each reason once."""

    sent: int = 0
    problems: list[str] = field(default_factory=list)

    def refuse(self, reason: str) -> None:
        if reason not in self.problems:
            self.problems.append(reason)


def send_again(mapping_ids: Sequence[int]) -> Resent:
    """Push records as they are now, also what the provider seems to hold already.

    The worker does it: this makes their last deliveries pending. A record that is being sent right
    now is left alone: what that push ends with would stand for this one.
    """
    by_subscription: defaultdict[int, list[int]] = defaultdict(list)
    result = Resent()
    for mapping in ExternalMapping.objects.filter(pk__in=mapping_ids):
        if not _forget(mapping):
            result.refuse("some are being sent right now: look at them again in a moment")
        elif mapping.subscription_id is not None and mapping.delivery_id is not None:
            by_subscription[mapping.subscription_id].append(mapping.delivery_id)
    for subscription_id, delivery_ids in by_subscription.items():
        try:
            replayed = replay(subscription_id, delivery_ids=delivery_ids, again=True)
        except SubscriptionsError as error:
            result.refuse(str(error))
            continue
        result.sent += replayed.again
        if replayed.lost:
            result.refuse(
                "some are on their way already, or their last event has left the outbox: a change"
                " of the row sends it"
            )
    return result


def _forget(mapping: ExternalMapping) -> bool:
    """Forget what the provider holds, between two pushes; return whether that was possible.

    A worker whose turn ran out may come back yet: it loses it for good.
    """
    free = ExternalMapping.objects.filter(
        Q(busy_until__isnull=True) | Q(busy_until__lt=Now()),
        pk=mapping.pk,
        delivery_id=mapping.delivery_id,
    )
    return bool(free.update(synced_hash="", busy_until=None))
