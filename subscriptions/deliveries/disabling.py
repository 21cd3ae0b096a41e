"""Switching off a subscription whose receiver is gone: once, with an event and a mail."""

from dataclasses import dataclass

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction

from jobs.background import Background
from subscriptions.events import SubscriptionDisabled
from subscriptions.models import Subscription
from subscriptions.outbox import publish
from subscriptions.statements import execute

log = structlog.get_logger(__name__)

PATIENCE = "1s"
MOST_MAILS = 100  # that wait in a process for the mail server

MAIL = """The subscription "{name}" of {company} was switched off at {url}: {reason}.

Nothing is delivered to it any more, and what happens from now on is not kept for it. When its
receiver is well again, switch it on in the admin and replay what failed.
"""


def disable(subscription_id: int, *, reason: str) -> bool:
    """Switch the subscription off and tell its owner; return whether it was on.

    Part of the caller's transaction; the mail goes out after its commit, by another thread. Raises
    OperationalError if somebody else holds the subscriptions for longer than a second: the next
    failure tries again.
    """
    with transaction.atomic():
        # Whoever holds subscriptions open must not hold up the deliveries of all.
        execute(f"SET LOCAL lock_timeout = '{PATIENCE}'", [])
        # One statement, which locks as every writer of subscriptions does.
        changed = Subscription.objects.filter(pk=subscription_id, active=True).update(
            active=False, disabled_reason=reason
        )
        if not changed:
            return False
        subscription = Subscription.objects.get(pk=subscription_id)
        publish(
            SubscriptionDisabled(
                subscription_id=subscription_id, name=subscription.name, reason=reason
            ),
            company=subscription.company,
        )
        transaction.on_commit(lambda: _tell_the_owner(subscription, reason))
    log.warning("subscription_disabled", subscription=subscription_id, reason=reason)
    return True


def flush(timeout: float) -> bool:
    """Wait until the mails are out, so many seconds at most; return whether they are."""
    return _mails.flush(timeout)


def _tell_the_owner(subscription: Subscription, reason: str) -> None:
    owners = [subscription.owner] if subscription.owner else settings.OPERATORS
    if not owners:
        return
    if len(_mails) >= MOST_MAILS:  # the event tells, and the admin
        log.warning("owner_not_told", subscription=subscription.pk, error="too many mails wait")
        return
    _mails.put(Told(subscription, list(owners), reason))


@dataclass(frozen=True)
class Told:
    """A mail to be sent."""

    subscription: Subscription
    owners: list[str]
    reason: str


def _send(mails: list[Told]) -> None:
    for one in mails:
        try:
            send_mail(
                subject=f"Subscription {one.subscription.name!r} was switched off",
                message=MAIL.format(
                    name=one.subscription.name,
                    company=one.subscription.company or "the platform",
                    url=settings.SITE_URL,
                    reason=one.reason,
                ),
                from_email=None,
                recipient_list=one.owners,
            )
        except Exception as error:
            # Whatever a mail server does must not end the thread; the event tells, too.
            log.warning("owner_not_told", subscription=one.subscription.pk, error=str(error)[:500])


# Outcomes are recorded while a mail server is slow.
_mails: Background[Told] = Background(lambda: _send, name="mails", at_once=1)
