"""Deliveries: the newest first, and one with its tries."""

from typing import Annotated

from django.db.models import QuerySet
from ninja import Query, Router

from jobs.api.runs import MAX_ID, Limit, Rows, page
from jobs.api.schemas import Page, inline
from jobs.api.security import KeyRequest
from subscriptions import examples
from subscriptions.api.schemas import DeliveryDetails, DeliveryOut, delivery_details
from subscriptions.api.security import READ
from subscriptions.deliveries.ownership import deliveries_of
from subscriptions.errors import SubscriptionsError, UnknownDelivery
from subscriptions.models import Delivery

router = Router(tags=["deliveries"], auth=READ)
StatusName = Annotated[Delivery.Status, inline(Delivery.Status)]


def own_deliveries(request: KeyRequest) -> QuerySet[Delivery]:
    """Return those to the company's subscriptions; nothing else of the API reads deliveries.

    The company of a delivery is its event's: the platform's subscriptions get those of all.
    """
    return deliveries_of(Delivery.objects.all(), request.auth.company)


@router.get("/deliveries", response=Page[DeliveryOut], operation_id="list_deliveries")
def list_deliveries(
    request: KeyRequest,
    subscription_id: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    status: Annotated[StatusName | None, Query()] = None,
    cursor: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    limit: Limit = 50,
) -> Rows[Delivery]:
    """List the deliveries to the company's subscriptions, newest first."""
    wanted = {"subscription_id": subscription_id, "status": status, "pk__lt": cursor}
    given = {key: value for key, value in wanted.items() if value is not None}
    return page(own_deliveries(request).filter(**given).order_by("-pk"), limit)


@router.get("/deliveries/{int:delivery_id}", response=DeliveryDetails, operation_id="get_delivery")
def get_delivery(request: KeyRequest, delivery_id: int) -> dict[str, object]:
    """Return a delivery, its tries, and its request as it would be made now."""
    found = own_deliveries(request).filter(pk=delivery_id).first()
    if found is None:
        raise UnknownDelivery(delivery_id)
    try:
        shown = examples.of_delivery(found)
    except SubscriptionsError:
        return delivery_details(found, None)
    return delivery_details(found, shown)
