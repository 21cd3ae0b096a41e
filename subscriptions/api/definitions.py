"""Subscriptions: listed, made, changed, deleted, tried and explained."""

from typing import Annotated
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import Query, Router, Status

from jobs.api.runs import MAX_ID, Limit, Rows, page
from jobs.api.schemas import Name, Page
from jobs.api.security import KeyRequest
from jobs.api.starting import json_body
from subscriptions import explanations, services
from subscriptions.api.bodies import Change, read_definition
from subscriptions.api.schemas import (
    ExplanationOut,
    HandlerTypeOut,
    SubscriptionDetails,
    SubscriptionOut,
    TrialOut,
    TryIn,
    details,
)
from subscriptions.api.security import READ, WRITE, allow, note
from subscriptions.errors import UnknownSubscription
from subscriptions.handlers.configs import config_schema, description
from subscriptions.handlers.contract import registered
from subscriptions.models import Gate, Subscription
from subscriptions.recent import rate

router = Router(tags=["subscriptions"])


def own_subscriptions(request: KeyRequest) -> QuerySet[Subscription]:
    """Return those of the key's company; nothing else of the API reads subscriptions."""
    return Subscription.objects.filter(company=request.auth.company)


def own_subscription(request: KeyRequest, subscription_id: int) -> Subscription:
    """Return the company's subscription; another's is as unknown as one that does not exist."""
    found = own_subscriptions(request).filter(pk=subscription_id).first()
    if found is None:
        raise UnknownSubscription(subscription_id)
    return found


@router.get(
    "/handler-types", response=list[HandlerTypeOut], auth=READ, operation_id="list_handler_types"
)
def list_handler_types(request: HttpRequest) -> list[dict[str, object]]:
    """List what a subscription can do with its events, and what each type's config takes."""
    return [
        {
            "name": name,
            "description": description(handler),
            "has_secret": handler.has_secret,
            "config_schema": config_schema(handler),
        }
        for name, handler in registered().items()
    ]


@router.get(
    "/subscriptions",
    response=Page[SubscriptionOut],
    auth=READ,
    operation_id="list_subscriptions",
)
def list_subscriptions(
    request: KeyRequest,
    name: Annotated[Name | None, Query(description="whole")] = None,
    handler_type: Annotated[Name | None, Query()] = None,
    active: Annotated[bool | None, Query()] = None,
    cursor: Annotated[int | None, Query(ge=0, le=MAX_ID)] = None,
    limit: Limit = 50,
) -> Rows[Subscription]:
    """List the company's subscriptions, the oldest first."""
    wanted = {"name": name, "handler_type": handler_type, "active": active, "pk__gt": cursor}
    given = {key: value for key, value in wanted.items() if value is not None}
    return page(own_subscriptions(request).filter(**given).order_by("pk"), limit)


@router.post(
    "/subscriptions",
    response={200: SubscriptionOut, 201: SubscriptionOut},
    auth=WRITE,
    operation_id="save_subscription",
)
def save_subscription(request: KeyRequest, response: HttpResponse) -> Status[Subscription]:
    """Make a subscription, or give the one of this name this definition: 201 or 200."""
    wanted = read_definition(json_body(request))
    allow(request, wanted.handler_type)
    wanted.company = request.auth.company
    existed = own_subscriptions(request).filter(name=wanted.name).exists()
    stored = services.save_subscription(wanted)
    note(request, "saved", stored.pk)
    response["Location"] = f"{request.path.rstrip('/')}/{stored.pk}"
    return Status(200 if existed else 201, stored)


@router.delete(
    "/subscriptions", response={204: None}, auth=WRITE, operation_id="delete_subscription_by_name"
)
def delete_by_name(request: KeyRequest, name: Annotated[Name, Query()]) -> Status[None]:
    """Delete the company's subscription of this name; what waits for it is canceled."""
    found = own_subscriptions(request).filter(name=name).first()
    if found is None or not services.delete_subscription(found.pk):
        raise UnknownSubscription(f"named {name!r}")
    note(request, "deleted", found.pk)
    return Status(204, None)


@router.post("/subscriptions/try", response=TrialOut, auth=READ, operation_id="try_filter")
def try_filter(request: KeyRequest, wanted: TryIn) -> explanations.Trial:
    """Ask past events what a filter would have met; nothing is saved."""
    asked = wanted.model_dump(exclude={"since"})
    subscription = Subscription(company=request.auth.company, **asked)
    return explanations.try_filter(subscription, since=wanted.since)


@router.get(
    "/subscriptions/{int:subscription_id}",
    response=SubscriptionDetails,
    auth=READ,
    operation_id="get_subscription",
)
def get_subscription(request: KeyRequest, subscription_id: int) -> Subscription:
    """Return a subscription, its breaker and how many of its deliveries arrived."""
    found = own_subscription(request, subscription_id)
    return details(found, Gate.objects.filter(pk=found.pk).first(), rate(found.pk))


@router.patch(
    "/subscriptions/{int:subscription_id}",
    response=SubscriptionOut,
    auth=WRITE,
    operation_id="change_subscription",
)
def change_subscription(request: KeyRequest, subscription_id: int, change: Change) -> Subscription:
    """Change what is given; name and handler type stay: make another one for those."""
    found = own_subscription(request, subscription_id)
    allow(request, found.handler_type)
    given = change.given()
    config = given.pop("config", None)
    stored = services.change_subscription(found.pk, given, config=config)
    note(request, "changed", stored.pk, fields=sorted(change.model_fields_set))
    return stored


@router.delete(
    "/subscriptions/{int:subscription_id}",
    response={204: None},
    auth=WRITE,
    operation_id="delete_subscription",
)
def delete_subscription(request: KeyRequest, subscription_id: int) -> Status[None]:
    """Delete a subscription; what waits for it is canceled, its history stays."""
    services.delete_subscription(own_subscription(request, subscription_id).pk)
    note(request, "deleted", subscription_id)
    return Status(204, None)


@router.get(
    "/subscriptions/{int:subscription_id}/why/{uuid:event_id}",
    response=ExplanationOut,
    auth=READ,
    operation_id="explain_event",
)
def why(request: KeyRequest, subscription_id: int, event_id: UUID) -> dict[str, object]:
    """Explain why the subscription gets an event of the company, or does not."""
    found = own_subscription(request, subscription_id)
    explanations.check_visible(event_id, company=request.auth.company)
    return ExplanationOut.of(explanations.why(found, event_id))
