"""Whether a subscription can be right: called at save, where it raises, and by the relay, which
notes it.

The database's own trigger has checked shapes and operations before
(0003_subscription_triggers.sql).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from django.db import connection
from pydantic import ValidationError

from subscriptions import backoff, sealing
from subscriptions.contracts import known_types, type_named
from subscriptions.errors import InvalidSubscription, UnknownEventType, UnknownHandlerType
from subscriptions.handlers.contract import Handler, HandlerConfig, handler_named
from subscriptions.matching import is_glob
from subscriptions.models import Operation, Subscription
from subscriptions.operators import FilterError
from subscriptions.patterns import compile_filter, with_leaving

WATCHED = """
SELECT w."table", array_agg(a.attname::text) FILTER (
    WHERE a.attname <> ALL (w.exclude) AND a.attgenerated <> 'v')
FROM event_system_watch w
JOIN pg_attribute a ON a.attrelid = w.relation AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY w."table"
"""

Watched = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class Checked:
    handler: Handler
    config: HandlerConfig


def watched_columns() -> dict[str, frozenset[str]]:
    """Return each watched table's columns that its events hold. One query."""
    with connection.cursor() as cursor:
        cursor.execute(WATCHED)
        return {table: frozenset(columns or ()) for table, columns in cursor.fetchall()}


def check_definition(subscription: Subscription, watched: Watched) -> Checked:
    """Return the handler and its parsed config; raise InvalidSubscription with the first wrong
    field.

    Looks up no host name and dials nothing: the relay calls it between two events.
    """
    columns = check_matching(subscription, watched)
    try:
        backoff.parse(subscription.backoff)
    except ValueError as error:
        raise InvalidSubscription("backoff", str(error)) from error
    try:
        handler = handler_named(subscription.handler_type)
    except UnknownHandlerType as error:
        raise InvalidSubscription("handler_type", str(error)) from error
    _check_leaving(subscription, handler)
    config = parse_config(handler, subscription.config)
    handler.check_columns(config, table=subscription.table, columns=columns)
    return Checked(handler, config)


def check_matching(subscription: Subscription, watched: Watched) -> Collection[str] | None:
    """Check what decides which events it gets, source and filter; raise InvalidSubscription.

    Returns the columns, or members of the payload, that there are; None if that is not known.
    """
    _check_source(subscription, watched)
    columns = _columns(subscription, watched)
    _check_filter(subscription, columns)
    return columns


def parse_config(handler: Handler, config: Any) -> HandlerConfig:
    """Return the config as the handler's model, or raise InvalidSubscription naming the key."""
    try:
        return handler.Config.model_validate(sealing.unseal(handler, config))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        allowed = ", ".join(handler.Config.model_fields) or "none"
        raise InvalidSubscription(
            f"config.{key}", f"{first['msg']}; {handler.name} takes: {allowed}"
        ) from None


def _check_source(subscription: Subscription, watched: Watched) -> None:
    if (subscription.table is None) == (subscription.event_type is None):
        raise InvalidSubscription("table", "give either table or event_type")
    operations = subscription.operations
    allowed = ", ".join(Operation.values)
    if not isinstance(operations, list) or not operations:
        raise InvalidSubscription("operations", f"must be a list of one or more of {allowed}")
    for operation in operations:
        if operation not in Operation.values:
            raise InvalidSubscription(
                "operations", f"{operation!r} is not one of {allowed} (in capitals)"
            )
    if subscription.table is not None:
        if subscription.table not in watched:
            names = ", ".join(sorted(watched)) or "none"
            raise InvalidSubscription(
                "table",
                f"{subscription.table!r} is not watched; watched: {names}; "
                "attach_event_trigger() watches another",
            )
        return
    wanted = subscription.event_type or ""
    if is_glob(wanted):
        if not any(fnmatchcase(name, wanted) for name in known_types()):
            declared = ", ".join(known_types()) or "none"
            raise InvalidSubscription(
                "event_type", f"{wanted!r} fits no declared type; declared: {declared}"
            )
        return
    try:
        type_named(wanted)
    except UnknownEventType as error:
        raise InvalidSubscription("event_type", str(error)) from error


def _columns(subscription: Subscription, watched: Watched) -> Collection[str] | None:
    """Return the columns of the table, or the members of the payload; None for a glob's."""
    if subscription.table is not None:
        return watched[subscription.table]
    name = subscription.event_type or ""
    if is_glob(name):
        return None
    fields = type_named(name).model.model_fields
    return {field.serialization_alias or key for key, field in fields.items()}


def _check_leaving(subscription: Subscription, handler: Handler) -> None:
    """Refuse a filter for which it cannot be told that a row has stopped meeting it."""
    if not handler.sees_leaving or subscription.table is None or not subscription.filter:
        return
    if with_leaving(subscription.filter) is subscription.filter:
        raise InvalidSubscription(
            "filter",
            f"{handler.name} keeps the rows that meet it, and lets go of those that do not any"
            " more: it must ask what a row is, not how it changed (changed, changed_from,"
            " changed_to, enters, leaves), and be nested less than 98 levels",
        )


def _check_filter(subscription: Subscription, columns: Collection[str] | None) -> None:
    try:
        pattern = compile_filter(subscription.filter)
    except FilterError as error:
        raise InvalidSubscription("filter", str(error)) from error
    if subscription.table is None and pattern.asks_for_changes:
        raise InvalidSubscription(
            "filter", "asks how a row changed, and an event of a type has none: watch its table"
        )
    if columns is None:
        return
    unknown = sorted(pattern.names - set(columns))
    if unknown:
        raise InvalidSubscription(
            "filter", f"there is no {', '.join(unknown)}; there are: {', '.join(sorted(columns))}"
        )
