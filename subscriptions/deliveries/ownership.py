"""Whose deliveries they are."""

from typing import Any

from django.db.models import QuerySet

from subscriptions.models import Subscription

MOST_NAMED = 1000


def deliveries_of(rows: QuerySet[Any], company: str) -> QuerySet[Any]:
    """Return the deliveries to the company's own subscriptions. One query.

    A delivery's `company` is its event's: a subscription of the platform gets those of all.
    """
    own = Subscription.objects.filter(company=company).values_list("pk", flat=True)
    # As values, of which the planner knows how frequent they are: of a subquery it knows nothing.
    named = list(own[: MOST_NAMED + 1])
    return rows.filter(subscription_id__in=named if len(named) <= MOST_NAMED else own)
