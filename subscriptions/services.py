"""Subscriptions made and deleted by code; the admin and the API call these too."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db import transaction

from subscriptions import sealing, signing
from subscriptions.errors import ChangedMeanwhile, InvalidSubscription, UnknownSubscription
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Subscription, row_operations
from subscriptions.storable import check_document
from subscriptions.validation import check_definition, watched_columns

MOST_TRIES = 5
DEFINITION = (
    "table",
    "event_type",
    "operations",
    "filter",
    "handler_type",
    "config",
    "active",
    "paused_at",
    "ordering",
    "max_rate",
    "attempts",
    "backoff",
    "batch_size",
    "debounce",
    "owner",
)


def check_subscription(subscription: Subscription) -> None:
    """Refuse what cannot be right by InvalidSubscription, which names the field and what is
    allowed.

    May look up the host name of a URL, for at most two seconds.
    """
    if not subscription.name:
        raise InvalidSubscription("name", "must not be empty")
    if subscription.company == "":
        raise InvalidSubscription("company", "must not be empty; None is the platform itself")
    for field, low, high in (("attempts", 1, 100), ("batch_size", 1, 1000)):
        if not low <= getattr(subscription, field) <= high:
            raise InvalidSubscription(field, f"must be {low} to {high}")
    if subscription.max_rate is not None and subscription.max_rate < 1:
        raise InvalidSubscription("max_rate", "must be 1 or more")
    if subscription.ordering not in Subscription.Ordering.values:
        raise InvalidSubscription(
            "ordering", f"must be one of {', '.join(Subscription.Ordering.values)}"
        )
    for field in ("filter", "config", "backoff"):
        check_document(field, getattr(subscription, field))
    checked = check_definition(subscription, watched_columns())
    checked.handler.check(checked.config, company=subscription.company)


def create_subscription(
    *,
    name: str,
    company: str | None,
    handler_type: str,
    table: str | None = None,
    event_type: str | None = None,
    operations: list[str] | None = None,
    filter: dict[str, Any] | None = None,  # noqa: A002 - the contract's word
    config: dict[str, Any] | None = None,
    active: bool = True,
    ordering: str = Subscription.Ordering.NONE,
    max_rate: int | None = None,
    attempts: int = 3,
    backoff: dict[str, Any] | str | None = None,
    batch_size: int = 1,
    debounce: timedelta | None = None,
    owner: str | None = None,
) -> Subscription:
    """Create the company's subscription of this name, or give the one there is this definition.

    An existing one keeps its id, its secret and its pause. Raises InvalidSubscription.
    """
    wanted = Subscription(
        name=name,
        company=company,
        table=table,
        event_type=event_type,
        operations=row_operations() if operations is None else operations,
        filter={} if filter is None else filter,
        handler_type=handler_type,
        config={} if config is None else config,
        active=active,
        ordering=ordering,
        max_rate=max_rate,
        attempts=attempts,
        backoff={} if backoff is None else backoff,
        batch_size=batch_size,
        debounce=debounce,
        owner=owner,
    )
    return save_subscription(wanted)


def save_subscription(wanted: Subscription) -> Subscription:
    """Check and store a definition by its company and name; return the stored row."""
    check_subscription(wanted)
    secret = _seal(wanted)
    wanted.secret = secret or signing.make_secret()
    kept = [field for field in DEFINITION if field != "paused_at"]
    with transaction.atomic():
        Subscription.objects.bulk_create(
            [wanted],
            update_conflicts=True,
            unique_fields=["company", "name"],
            update_fields=[*kept, "secret"] if secret else kept,
        )
    return Subscription.objects.get(company=wanted.company, name=wanted.name)


def change_subscription(
    subscription_id: int,
    changes: Mapping[str, Any],
    *,
    config: Mapping[str, Any] | None = None,
) -> Subscription:
    """Change these fields of a subscription and no others; of its config these keys, None removes
    one. Return the stored row.

    What somebody else changes meanwhile stays, and the definition is checked with it. Raises
    InvalidSubscription, UnknownSubscription, or ChangedMeanwhile after five tries.
    """
    for _ in range(MOST_TRIES):
        row = _stored(subscription_id)
        seen, written = row.updated_at, dict(changes)
        for name, value in changes.items():
            setattr(row, name, value)
        if config:
            merged = {**row.config, **config}
            row.config = {key: value for key, value in merged.items() if value is not None}
        check_subscription(row)
        if config:
            secret = _seal(row)
            written |= {"config": row.config, **({"secret": secret} if secret else {})}
        # Not under a lock: the check may ask a name server. Every change of a definition moves
        # `updated_at`, by trigger.
        rows = Subscription.objects.filter(pk=subscription_id, updated_at=seen)
        if not written or rows.update(**written):
            return _stored(subscription_id)
    raise ChangedMeanwhile(subscription_id)


def _stored(subscription_id: int) -> Subscription:
    found = Subscription.objects.filter(pk=subscription_id).first()
    if found is None:
        raise UnknownSubscription(subscription_id)
    return found


def _seal(subscription: Subscription) -> str | None:
    """Encrypt what its config keeps secret; take the signing secret out and return it.

    Raises InvalidSubscription if that makes the config too large.
    """
    config = {key: value for key, value in subscription.config.items() if key != "secret"}
    secret: str | None = subscription.config.get("secret")
    subscription.config = sealing.seal(handler_named(subscription.handler_type), config)
    check_document("config", subscription.config)
    return secret


def delete_subscription(subscription_id: int) -> bool:
    """Delete by id; return whether there was one. Its deliveries that still wait are canceled."""
    deleted, _ = Subscription.objects.filter(pk=subscription_id).delete()
    return bool(deleted)


def delete_subscription_by_name(name: str, *, company: str | None) -> bool:
    """Delete a company's subscription by name; return whether there was one."""
    deleted, _ = Subscription.objects.filter(company=company, name=name).delete()
    return bool(deleted)
