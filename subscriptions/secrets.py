"""A subscription's signing secret: made when it is missing, encrypted wherever it came from, shown
once, replaced while the one before is good for a while.
"""

from datetime import UTC, datetime, timedelta

import structlog
from django.db import OperationalError, transaction
from django.db.models.functions import Now
from psycopg.errors import LockNotAvailable

from subscriptions.errors import SecretRefused, UnknownHandlerType, UnknownSubscription
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Subscription
from subscriptions.signing import is_secret, make_secret
from subscriptions.statements import execute, fetch

log = structlog.get_logger(__name__)

OVERLAP = timedelta(days=1)  # how long the secret before still signs, too
PATIENCE = "2s"
BUSY = "somebody else changes the subscription right now: try again"
LOCK_DEFINITIONS = """
SELECT pg_advisory_xact_lock('event_system_interest'::regclass::oid::integer, 0)
"""
TRY_DEFINITIONS = """
SELECT pg_try_advisory_xact_lock('event_system_interest'::regclass::oid::integer, 0)
"""


def adopt_secret(subscription_id: int) -> str | None:
    """Return the subscription's secret; make one, or take it out of `config`, if that is still to
    be done.

    Plain SQL can only write a secret into `config`, in the clear: it moves into the encrypted
    column. None if the subscription is gone or somebody else holds it right now.
    """
    with transaction.atomic():
        subscription = _locked(subscription_id, waits=False)
        return None if subscription is None else _adopted(subscription)


def _locked(subscription_id: int, *, waits: bool) -> Subscription | None:
    """Return the row, locked; None if it is gone, held by somebody else, or just got a secret.

    Whoever changes a definition takes the lock of all definitions before the row, as the table's
    trigger does; to take a secret out of `config` is such a change.
    """
    rows = Subscription.objects.filter(pk=subscription_id)
    is_change = rows.filter(config__has_key="secret").exists()
    if is_change and waits:
        fetch(LOCK_DEFINITIONS, [])
    elif is_change and not fetch(TRY_DEFINITIONS, [])[0][0]:
        return None
    subscription = rows.select_for_update(skip_locked=not waits, no_key=True).first()
    if subscription is not None and "secret" in subscription.config and not is_change:
        return None
    return subscription


def _adopted(subscription: Subscription) -> str:
    """Return the secret of a locked row, stored where it belongs."""
    config = subscription.config if isinstance(subscription.config, dict) else {}
    given, stored = config.get("secret"), subscription.secret
    if given is not None and is_secret(str(given)):
        secret = str(given)
    elif stored and is_secret(stored):
        secret = str(stored)
    else:
        secret = make_secret()
    changes: dict[str, object] = {} if secret == stored else {"secret": secret}
    if "secret" in config:
        changes["config"] = {name: value for name, value in config.items() if name != "secret"}
    if changes:
        Subscription.objects.filter(pk=subscription.pk).update(**changes)
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
        raise SecretRefused(BUSY)
    unseen = Subscription.objects.filter(pk=subscription_id, secret_revealed_at=None)
    if not unseen.update(secret_revealed_at=Now()):
        raise SecretRefused("the secret was shown before, and is not shown again: rotate it")
    log.info("secret_revealed", subscription=subscription_id)
    return secret


def rotate(subscription_id: int) -> str:
    """Return a new secret; deliveries carry the signature of the old one, too, for a day.

    Of two at once the second replaces the first's. Raises UnknownSubscription, or SecretRefused for
    a type that signs nothing or if somebody else holds the row for longer than two seconds.
    """
    _check_type(subscription_id)
    new = make_secret()
    try:
        with transaction.atomic():
            execute(f"SET LOCAL lock_timeout = '{PATIENCE}'", [])
            _replace(subscription_id, new)
            execute("SET LOCAL lock_timeout TO DEFAULT", [])
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise SecretRefused(BUSY) from error
    log.info("secret_rotated", subscription=subscription_id)
    return new


def _replace(subscription_id: int, new: str) -> None:
    subscription = _locked(subscription_id, waits=True)
    if subscription is None:
        raise SecretRefused(BUSY)
    Subscription.objects.filter(pk=subscription_id).update(
        previous_secret=_adopted(subscription),
        previous_secret_until=Now() + OVERLAP,
        secret=new,
        secret_revealed_at=Now(),
    )


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
