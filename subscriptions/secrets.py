"""A subscription's signing secret: made when it is missing, encrypted wherever it came from."""

from django.db import transaction

from subscriptions.models import Subscription
from subscriptions.signing import is_secret, make_secret


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
