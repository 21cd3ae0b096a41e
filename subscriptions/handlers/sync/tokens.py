"""OAuth 2 access tokens of connections: https://www.rfc-editor.org/rfc/rfc6749#section-6

A refresh gives a new refresh token too, and the old one ends with it. So one worker refreshes at a
time, under the row's lock, and what was answered is committed before anything else is done. Nobody
but this module and `connecting` touches a token; no error text holds one.
"""

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from subscriptions.handlers.sync.errors import NotConnected, SyncFailed, Unavailable
from subscriptions.handlers.sync.http import Reply, exchange
from subscriptions.handlers.sync.providers import Provider
from subscriptions.models import ExternalConnection

log = structlog.get_logger(__name__)

# A token is renewed so long before its end that a call made with it still arrives in time.
MARGIN = timedelta(seconds=90)
USUAL_LIFE = timedelta(minutes=30)


def access_token(connection_id: int, provider: Provider, *, refused: str | None = None) -> str:
    """Return a token that is good for a call now; refresh it if it is not, or was `refused`.

    Raises NotConnected if somebody must connect the company again, Unavailable if the token
    endpoint does not answer.
    """
    rows = ExternalConnection.objects.filter(pk=connection_id)
    if found := _usable(rows, refused):
        return found
    with transaction.atomic(durable=True):
        row = rows.select_for_update(no_key=True).first()
        if row is None or row.status != ExternalConnection.Status.ACTIVE:
            result: str | SyncFailed = _not_connected(row, provider)
        else:
            # Another worker may have been faster.
            result = _usable(rows, refused) or _refreshed(row, provider)
    if isinstance(result, SyncFailed):
        raise result
    return result


def _usable(rows: QuerySet[ExternalConnection], refused: str | None) -> str | None:
    row = rows.filter(
        status=ExternalConnection.Status.ACTIVE, expires_at__gt=Now() + MARGIN
    ).first()
    if row is None or row.access_token == refused or _is_sealed(row.access_token):
        return None
    token: str | None = row.access_token
    return token


def _is_sealed(token: str | None) -> bool:
    """Whether a token is still encrypted: the field returns what no key of this process opens."""
    return token is not None and token.startswith("gAAAAA")


def _not_connected(row: ExternalConnection | None, provider: Provider) -> NotConnected:
    if row is None:
        return NotConnected(f"the connection to {provider.title} was removed: connect it again")
    return NotConnected(_advice(provider, row.company, row.error))


def _advice(provider: Provider, company: str | None, reason: str) -> str:
    whose = f"company {company!r}" if company is not None else "the platform"
    return (
        f"{provider.title} no longer gives {whose} access ({reason}): somebody who may manage its"
        f" {provider.title} account must connect it again, then `manage.py connect_provider"
        f" {provider.name}` stores the new tokens"
    )


def _refreshed(row: ExternalConnection, provider: Provider) -> str | SyncFailed:
    """Ask for new tokens and store them, or note why there are none. The row is locked."""
    app = provider.app()
    if not app.client_id or not app.client_secret:
        setting = provider.name.upper()
        return Unavailable(
            f"{setting}_CLIENT_ID and {setting}_CLIENT_SECRET are not set: the operator must"
        )
    if _is_sealed(row.refresh_token):
        # Not a broken connection: another process may well be able to.
        return Unavailable(
            f"the tokens of {row} cannot be decrypted: this process must have the SECRET_KEY and"
            " SALT_KEY that they were stored with"
        )
    try:
        reply = exchange(
            "POST",
            app.token_url,
            headers={"accept": "application/json"},
            auth=(app.client_id, app.client_secret),
            data={"grant_type": "refresh_token", "refresh_token": row.refresh_token or ""},
        )
    except Unavailable as error:
        return Unavailable(f"{provider.title}'s token endpoint: {error}")
    token = reply.document.get("access_token")
    if reply.status == 200 and isinstance(token, str) and token:
        _store(row, reply)
        return token
    return _failure(row, provider, reply)


def _store(row: ExternalConnection, reply: Reply) -> None:
    answer = reply.document
    seconds = answer.get("expires_in")
    life = timedelta(seconds=seconds) if isinstance(seconds, int | float) else USUAL_LIFE
    ExternalConnection.objects.filter(pk=row.pk).update(
        access_token=answer["access_token"],
        # A provider that does not rotate leaves it out.
        refresh_token=answer.get("refresh_token") or row.refresh_token,
        expires_at=Now() + life,
        refreshed_at=Now(),
        error="",
    )
    log.info("connection_refreshed", connection=row.pk, provider=row.provider)


def _failure(row: ExternalConnection, provider: Provider, reply: Reply) -> SyncFailed:
    """Keep the endpoint's error code only: it has one of a few fixed words (RFC 6749, 5.2)."""
    code = reply.document.get("error")
    if code != "invalid_grant":
        said = code if isinstance(code, str) and code.isidentifier() else "no reason"
        return Unavailable(
            f"{provider.title}'s token endpoint answered HTTP {reply.status} ({said[:50]})",
            status_code=reply.status,
        )
    ExternalConnection.objects.filter(pk=row.pk).update(
        status=ExternalConnection.Status.BROKEN, error="invalid_grant"
    )
    log.warning("connection_broken", connection=row.pk, provider=row.provider, company=row.company)
    return NotConnected(_advice(provider, row.company, "invalid_grant"), status_code=reply.status)
