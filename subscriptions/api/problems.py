"""The event system's errors as problem details: each names the field, none what was sent."""

import re
from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, JsonResponse
from ninja import NinjaAPI

from jobs.api.problems import response
from subscriptions.errors import (
    ChangedMeanwhile,
    EventsRefused,
    InvalidSubscription,
    KeyReused,
    SecretRefused,
    SubscriptionsError,
    UnknownDelivery,
    UnknownEvent,
    UnknownHandlerType,
    UnknownSubscription,
)

STATUSES: Mapping[type[SubscriptionsError], int] = {
    ChangedMeanwhile: 409,
    KeyReused: 409,
    SecretRefused: 409,
    UnknownDelivery: 404,
    UnknownEvent: 404,
    UnknownHandlerType: 422,
    UnknownSubscription: 404,
}


def install(api: NinjaAPI) -> None:
    """Make every error of this app a problem."""
    for kind in STATUSES:
        api.add_exception_handler(kind, _refused)
    api.add_exception_handler(InvalidSubscription, _invalid)
    api.add_exception_handler(EventsRefused, _events_refused)


def _refused(request: HttpRequest, error: Any) -> JsonResponse:
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", type(error).__name__).lower()
    return response(STATUSES[type(error)], str(error), kind=kind)


def _invalid(request: HttpRequest, error: Any) -> JsonResponse:
    issue = {"loc": error.field.split("."), "msg": error.problem, "type": "invalid"}
    return response(422, str(error), kind="invalid-subscription", issues=[issue])


def _events_refused(request: HttpRequest, error: Any) -> JsonResponse:
    issues = [
        {"loc": ["body"] if place is None else ["body", place], "msg": problem, "type": str(reason)}
        for place, (reason, problem) in error.problems.items()
    ]
    return response(422, str(error), kind="events-refused", issues=issues)
