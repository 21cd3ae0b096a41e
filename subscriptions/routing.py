"""The subscriptions as the relay holds them: loaded and compiled when their revision moves."""

from datetime import timedelta
from typing import Any

import structlog
from django.db import OperationalError, connection, transaction
from psycopg.errors import LockNotAvailable

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import Handler
from subscriptions.loading import load
from subscriptions.matching import Matcher, Target
from subscriptions.models import Subscription
from subscriptions.patterns import with_leaving
from subscriptions.sealing import has_plain, seal_stored
from subscriptions.secrets import adopt_secret
from subscriptions.validation import Checked, Watched, check_definition, watched_columns

log = structlog.get_logger(__name__)

MARK_INVALID = """
UPDATE event_system_subscription SET invalid_reason = %s WHERE id = (
    SELECT id FROM event_system_subscription
    WHERE id = %s AND updated_at = %s AND invalid_reason IS DISTINCT FROM %s
    FOR NO KEY UPDATE SKIP LOCKED)
"""

# Of a row that could not be read, its time neither; a definition mended meanwhile is judged anew.
MARK_UNREADABLE = """
UPDATE event_system_subscription SET invalid_reason = %s WHERE id = (
    SELECT id FROM event_system_subscription
    WHERE id = %s AND invalid_reason IS DISTINCT FROM %s
    FOR NO KEY UPDATE SKIP LOCKED)
"""


def _is_by_record(subscription: Subscription, handler: Handler) -> bool:
    """Whether its deliveries wait for each other, or take each other's place, by record."""
    return (
        subscription.ordering == Subscription.Ordering.RECORD
        or bool(subscription.debounce)
        or handler.collapses
    )


def _filter(subscription: Subscription, handler: Handler) -> dict[str, Any]:
    """Return the filter that decides which events it gets."""
    if handler.sees_leaving and subscription.table is not None:
        return with_leaving(subscription.filter)
    return dict(subscription.filter)


def target_of(subscription: Subscription, checked: Checked) -> Target:
    """Return what matching needs of a subscription that was checked."""
    return Target(
        id=subscription.pk,
        company=subscription.company,
        table=subscription.table,
        event_type=subscription.event_type,
        operations=frozenset(subscription.operations),
        filter=_filter(subscription, checked.handler),
        handler_type=checked.handler.name,
        is_paused=subscription.paused_at is not None,
        is_by_record=_is_by_record(subscription, checked.handler),
        debounce=subscription.debounce or timedelta(),
    )


class Router:
    """Compiled subscriptions of one relay process."""

    def __init__(self) -> None:
        self._revision: int | None = None
        self._unfinished: list[tuple[Subscription, Checked | None, str | None]] = []
        self._unreadable: dict[int, str] = {}
        self.matcher = Matcher()

    def refresh(self) -> None:
        """Load the subscriptions if any changed since. One query when none did.

        Call it after the events were read, in their transaction: a subscription committed before
        an event is then never missed.
        """
        with connection.cursor() as cursor:
            cursor.execute("SELECT revision FROM event_system_revision")
            row = cursor.fetchone()
        revision = row[0] if row else 0
        if revision == self._revision:
            return
        targets = []
        self._unfinished = []
        watched = watched_columns()
        subscriptions, self._unreadable = load(Subscription.objects.filter(active=True))
        for subscription in subscriptions:
            target = self._judge(subscription, watched)
            if target is not None:
                targets.append(target)
        self.matcher = Matcher(targets)
        self._revision = revision

    def _judge(self, subscription: Subscription, watched: Watched) -> Target | None:
        checked: Checked | None = None
        reason: str | None = None
        try:
            checked = check_definition(subscription, watched)
        except InvalidSubscription as error:
            reason = str(error)
        except Exception as error:
            # What no check foresaw is this subscription's fault alone.
            log.exception("subscription_unchecked", subscription=subscription.pk)
            reason = f"cannot be checked: {type(error).__name__}: {error}"[:500]
        lacks_secret = checked is not None and (
            checked.handler.has_secret
            and (not subscription.secret or "secret" in subscription.config)
        )
        is_plain = checked is not None and has_plain(checked.handler, subscription.config)
        if reason != subscription.invalid_reason or lacks_secret or is_plain:
            self._unfinished.append((subscription, checked, reason))
        if checked is None:
            return None
        return target_of(subscription, checked)

    def note_verdicts(self) -> None:
        """Write down what loading found: reasons, and secrets for rows that SQL made.

        Waits for nobody: what another transaction holds is tried again at the next call.
        """
        self._mark_unreadable()
        todo, self._unfinished = self._unfinished, []
        for verdict in todo:
            subscription, checked, reason = verdict
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    cursor.execute("SET LOCAL lock_timeout = '100ms'")
                    cursor.execute(
                        MARK_INVALID, [reason, subscription.pk, subscription.updated_at, reason]
                    )
                    if checked is not None and checked.handler.has_secret:
                        adopt_secret(subscription.pk)
                    if checked is not None and has_plain(checked.handler, subscription.config):
                        seal_stored(subscription.pk, checked.handler)
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
                self._unfinished.append(verdict)
            if reason is not None:
                log.warning("subscription_invalid", subscription=subscription.pk, reason=reason)

    def _mark_unreadable(self) -> None:
        todo, self._unreadable = self._unreadable, {}
        for pk, reason in todo.items():
            with connection.cursor() as cursor:
                cursor.execute(MARK_UNREADABLE, [reason, pk, reason])
            log.warning("subscription_invalid", subscription=pk, reason=reason)
