"""Connections made and renewed by people: the tokens that a company granted, and whose books they
open.
"""

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from subscriptions.errors import SubscriptionsError
from subscriptions.handlers.sync.shipped import PROVIDERS
from subscriptions.models import ExternalConnection

LONGEST_TOKEN = 16 * 1024


class InvalidConnection(SubscriptionsError):
    """Say what of a connection is wrong; the text never holds a token."""


def connect(
    *,
    company: str | None,
    provider: str,
    tenant_id: str,
    refresh_token: str,
    access_token: str = "",
    expires_in: timedelta = timedelta(),
    over: bool = True,
) -> ExternalConnection:
    """Store a company's tokens, over those there were; without an access token the first call gets
    one.

    With `over` False a connection that is there already is left as it is, and refused. `tenant_id`
    is Xero's tenant id or QuickBooks' realm id. Another one than before makes the company's records
    unknown there: each is created or linked anew. Raises InvalidConnection.
    """
    check_connection(
        company=company,
        provider=provider,
        tenant_id=tenant_id,
        refresh_token=refresh_token,
        access_token=access_token,
    )
    values = {
        "tenant_id": tenant_id,
        "access_token": access_token or None,
        "refresh_token": refresh_token,
        "expires_at": Now() + expires_in if access_token else None,
        "status": ExternalConnection.Status.ACTIVE,
        "error": "",
        "connected_at": Now(),
        "blocked_until": None,
    }
    whose: dict[str, Any] = {"company": company, "provider": provider}
    if over:
        row, _ = ExternalConnection.objects.update_or_create(**whose, defaults=values)
        return row
    row, is_new = ExternalConnection.objects.get_or_create(**whose, defaults=values)
    if not is_new:
        raise InvalidConnection(connected_already(company, provider))
    return row


def connected_already(company: str | None, provider: str) -> str:
    return (
        f"{company or 'the platform'} is connected to {PROVIDERS[provider].title} already: open"
        " that connection and give it the new tokens there"
    )


def check_connection(
    *, company: str | None, provider: str, tenant_id: str, refresh_token: str, access_token: str
) -> None:
    """Raise InvalidConnection for what `connect` would refuse."""
    if provider not in PROVIDERS:
        raise InvalidConnection(f"provider must be one of {', '.join(sorted(PROVIDERS))}")
    if company == "":
        raise InvalidConnection("company must not be empty; None is the platform itself")
    if not tenant_id or not tenant_id.isascii() or not tenant_id.replace("-", "").isalnum():
        raise InvalidConnection(
            "tenant_id must be Xero's tenant id or QuickBooks' realm id: letters, digits and -"
        )
    if not refresh_token:
        raise InvalidConnection("a refresh token is needed: access ends without one")
    for name, token in (("refresh", refresh_token), ("access", access_token)):
        if len(token) > LONGEST_TOKEN or any(not "!" <= c <= "~" for c in token):
            raise InvalidConnection(f"the {name} token must be one line of ASCII without blanks")
