"""Records sent again because somebody asks for it: by their last deliveries, through the queue."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

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

    The worker does it: this makes their last deliveries pending.
    """
    mappings = ExternalMapping.objects.filter(pk__in=mapping_ids)
    mappings.update(synced_hash="")
    by_subscription: defaultdict[int, list[int]] = defaultdict(list)
    result = Resent()
    for subscription_id, delivery_id in mappings.values_list("subscription_id", "delivery_id"):
        if subscription_id is not None and delivery_id is not None:
            by_subscription[subscription_id].append(delivery_id)
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
