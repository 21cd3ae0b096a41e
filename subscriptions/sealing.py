"""Secret texts of a config, encrypted where they are stored.

A field of a handler's Config is one with `repr=False, json_schema_extra={"secret": True}`: it goes
into the database encrypted, is opened for the handler, and never comes out elsewhere. Of an object
of texts, such as headers, each value is one; its names stay readable. What plain SQL wrote in the
clear is encrypted when the relay loads it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import structlog
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import IntegrityError, transaction
from encrypted_fields.fields import EncryptedTextField  # type: ignore[import-untyped]

from subscriptions.errors import InvalidSubscription
from subscriptions.handlers.contract import HIDDEN, Handler
from subscriptions.models import Subscription

log = structlog.get_logger(__name__)

SEALED = "sealed:"


def sealed_keys(handler: Handler) -> frozenset[str]:
    """Return the keys of the config that are stored encrypted."""
    return frozenset(
        info.alias or name
        for name, info in handler.Config.model_fields.items()
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("secret") is True
    )


def has_plain(handler: Handler, config: Any) -> bool:
    """Whether something in the config is still to be encrypted."""
    return isinstance(config, dict) and any(
        _is_plain(config.get(key)) for key in sealed_keys(handler)
    )


def seal(handler: Handler, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config as it is stored."""
    keys = sealed_keys(handler)
    return {key: _sealed(value) if key in keys else value for key, value in config.items()}


def unseal(handler: Handler, config: Any) -> Any:
    """Return the config as the handler takes it; raises InvalidSubscription if a key was lost."""
    keys = sealed_keys(handler)
    if not keys or not isinstance(config, dict):
        return config
    return {key: _opened(key, value) if key in keys else value for key, value in config.items()}


def masked(handler: Handler, config: Any) -> dict[str, dict[str, str]]:
    """Return the names in the config's secret objects, such as those of headers, without values."""
    given = config if isinstance(config, dict) else {}
    return {
        key: dict.fromkeys(given[key], HIDDEN)
        for key in sorted(sealed_keys(handler))
        if isinstance(given.get(key), dict)
    }


def seal_stored(subscription_id: int, handler: Handler) -> None:
    """Encrypt what the stored config holds in the clear, unless somebody else holds the row now.

    Part of the caller's transaction.
    """
    row = (
        Subscription.objects.select_for_update(skip_locked=True, no_key=True)
        .filter(pk=subscription_id)
        .first()
    )
    if row is None or not has_plain(handler, row.config):
        return
    try:
        with transaction.atomic():
            Subscription.objects.filter(pk=row.pk).update(config=seal(handler, row.config))
    except IntegrityError as error:  # encrypted, it is larger than a config may be
        log.warning("config_not_encrypted", subscription=row.pk, error=str(error))


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return any(isinstance(text, str) and _is_plain(text) for text in value.values())
    return isinstance(value, str) and not value.startswith(SEALED)


def _sealed(value: Any) -> Any:
    if isinstance(value, dict):
        # Deeper there is no text of a secret's: the handler's model refuses it.
        return {
            name: _sealed(text) if isinstance(text, str) else text for name, text in value.items()
        }
    return SEALED + _cipher().encrypt(value.encode()).decode() if _is_plain(value) else value


def _opened(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _opened(f"{key}.{name}", text) for name, text in value.items()}
    if not isinstance(value, str) or not value.startswith(SEALED):
        return value
    try:
        return _cipher().decrypt(value.removeprefix(SEALED).encode()).decode()
    except InvalidToken:
        raise InvalidSubscription(
            f"config.{key}",
            "cannot be decrypted: SECRET_KEY or SALT_KEY is not the one it was stored with;"
            " set it anew",
        ) from None


def _cipher() -> Any:
    return _cipher_of(settings.SECRET_KEY, str(settings.SALT_KEY))


@lru_cache(maxsize=2)
def _cipher_of(secret_key: str, salt_key: str) -> Any:
    """Return the cipher of the encrypted columns; its key takes 100,000 rounds to derive."""
    return EncryptedTextField().f
