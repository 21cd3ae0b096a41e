"""Subscriptions as delivery reads them: with their handler and parsed config, or what is wrong."""

from collections.abc import Collection

from subscriptions import backoff
from subscriptions.deliveries.admission import Definition
from subscriptions.errors import InvalidSubscription, UnknownHandlerType
from subscriptions.handlers.contract import handler_named
from subscriptions.loading import load
from subscriptions.models import Subscription
from subscriptions.secrets import adopt_secret
from subscriptions.validation import parse_config


def definitions(subscription_ids: Collection[int]) -> dict[int, Definition | str]:
    """Return what is known of each, a text if it cannot be read; those that are gone are left out.

    One query, and one more for each subscription that has no secret yet and needs one.
    """
    found, unreadable = load(Subscription.objects.filter(pk__in=subscription_ids))
    return {**{one.pk: _definition(one) for one in found}, **unreadable}


def _definition(subscription: Subscription) -> Definition:
    try:
        handler = handler_named(subscription.handler_type)
        config = parse_config(handler, subscription.config)
        backoff.parse(subscription.backoff)
    except (InvalidSubscription, UnknownHandlerType, ValueError) as error:
        return Definition(subscription, problem=str(error))
    if handler.has_secret and (not subscription.secret or "secret" in subscription.config):
        subscription.secret = adopt_secret(subscription.pk)
    return Definition(subscription, handler, config)
