"""A subscription's signing secret: made when it is missing, encrypted wherever it came from, shown
once, replaced while the one before is good for a while.
"""

from datetime import UTC, datetime, timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now

from subscriptions.errors import SecretRefused, UnknownHandlerType, UnknownSubscription
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Subscription
from subscriptions.signing import is_secret, make_secret

log = structlog.get_logger(__name__)

OVERLAP = timedelta(days=1)  # how long the secret before still signs, too


def adopt_secret(subscription_id: int) -> str | None:
    """Return the subscription's secret; make one, or take it out of `config`, if that is still to
    be done.

    Plain SQL can only write a secret into `config`, in the clear: it moves into the encrypted
    column. None if the subscription is gone or somebody else holds its row right now.
    """
    with transaction.atomic():
        subscription = (
            Subscription.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(pk=subscription_id)
            .first()
        )
        if subscription is None:
            return None
        config = subscription.config if isinstance(subscription.config, dict) else {}
        given = config.get("secret")
        if given is not None and is_secret(str(given)):
            secret = str(given)
        elif subscription.secret and is_secret(subscription.secret):
            if "secret" not in config:
                return str(subscription.secret)
            secret = subscription.secret
        else:
            secret = make_secret()
        changes: dict[str, object] = {"secret": secret}
        if "secret" in config:
            changes["config"] = {name: value for name, value in config.items() if name != "secret"}
        Subscription.objects.filter(pk=subscription_id).update(**changes)
        return secret


def previous(subscription: Subscription) -> str | None:
    """Return the secret before, while it still signs."""
    until = subscription.previous_secret_until
    if until is None or until <= datetime.now(tz=UTC):
        return None
    return subscription.previous_secret or None


def reveal(subscription_id: int) -> str:
    """Return the secret, this once; raises SecretRefused if it was shown before.

    Who comes first is decided by the row: of two at once, one is refused.
    """
    _check_type(subscription_id)
    if (secret := adopt_secret(subscription_id)) is None:
        raise SecretRefused("somebody else changes the subscription right now: try again")
    unseen = Subscription.objects.filter(pk=subscription_id, secret_revealed_at=None)
    if not unseen.update(secret_revealed_at=Now()):
        raise SecretRefused("the secret was shown before, and is not shown again: rotate it")
    log.info("secret_revealed", subscription=subscription_id)
    return secret


def rotate(subscription_id: int) -> str:
    """Return a new secret; deliveries carry the signature of the old one, too, for a day.

    Raises UnknownSubscription, or SecretRefused for a type that signs nothing.
    """
    _check_type(subscription_id)
    old = adopt_secret(subscription_id)
    new = make_secret()
    changed = Subscription.objects.filter(pk=subscription_id).update(
        previous_secret=old,
        previous_secret_until=Now() + OVERLAP,
        secret=new,
        secret_revealed_at=Now(),
    )
    if not changed:
        raise UnknownSubscription(subscription_id)
    log.info("secret_rotated", subscription=subscription_id)
    return new


def _check_type(subscription_id: int) -> None:
    rows = Subscription.objects.filter(pk=subscription_id)
    handler_type = rows.values_list("handler_type", flat=True).first()
    if handler_type is None:
        raise UnknownSubscription(subscription_id)
    try:
        has_secret = handler_named(handler_type).has_secret
    except UnknownHandlerType:
        has_secret = False
    if not has_secret:
        raise SecretRefused(f"{handler_type} signs nothing: there is no secret")
