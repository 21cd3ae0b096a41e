"""API keys: `cpk_<prefix>_<secret>`, of one company each. Of the secret only a digest is stored."""

import hashlib
import hmac
import secrets
import string
from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

from django.db.models import Q
from django.db.models.functions import Now

from jobs.errors import InvalidKey
from jobs.models import ApiKey

SCOPES = (
    "runs:read",
    "runs:write",
    "subscriptions:read",
    "subscriptions:write",
    "events:write",
)
MARK = "cpk"
ALPHABET = string.ascii_letters + string.digits  # so that a double click selects the whole key
PREFIX_LENGTH = 12
SECRET_LENGTH = 43  # 256 bits
USE_NOTED_EVERY = timedelta(minutes=1)


class NewKey(NamedTuple):
    """A key just made. `text` is what its holder sends; it cannot be had again."""

    row: ApiKey
    text: str


def create(
    *, company: str, name: str, scopes: Collection[str], expires_in: timedelta | None = None
) -> NewKey:
    """Store a key and return it with its text; raises ValueError for what cannot be one."""
    for what, value, most in (("company", company, 128), ("name", name, 100)):
        if not 0 < len(value) <= most or "\0" in value:
            raise ValueError(f"a key's {what} is a text of 1 to {most} characters, not {value!r}")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise ValueError(f"scopes are {', '.join(SCOPES)}, one at least; not {scopes!r}")
    prefix = _random(PREFIX_LENGTH)
    text = f"{MARK}_{prefix}_{_random(SECRET_LENGTH)}"
    row = ApiKey.objects.create(
        company=company,
        name=name,
        prefix=prefix,
        digest=_digest(text),
        scopes=sorted(set(scopes)),
        created_at=Now(),
        expires_at=None if expires_in is None else Now() + expires_in,
    )
    row.refresh_from_db()
    return NewKey(row, text)


def authenticate(text: str) -> ApiKey:
    """Return the key of that text; one query, and at most once a minute a second one.

    Raises `InvalidKey`. That a key is revoked or has expired is told only to who knows its secret.
    """
    mark, prefix, _ = (*text.split("_", 2), "", "")[:3]
    if mark != MARK or not (prefix.isascii() and prefix.isalnum()):
        raise InvalidKey("that is no API key; one looks like cpk_…_…")
    row = ApiKey.objects.annotate(now=Now()).filter(prefix=prefix).first()
    if row is None or not hmac.compare_digest(row.digest, _digest(text)):
        raise InvalidKey("no such API key")
    if row.revoked_at is not None:
        raise InvalidKey(f"the API key {row.name!r} was revoked; ask for a new one")
    if row.expires_at is not None and row.expires_at <= row.now:
        raise InvalidKey(f"the API key {row.name!r} has expired; ask for a new one")
    if row.last_used_at is None or row.last_used_at <= row.now - USE_NOTED_EVERY:
        _note_use(row)
    return row


def _note_use(row: ApiKey) -> None:
    """Note it once, however many requests look at the same moment."""
    unnoted = Q(last_used_at=None) | Q(last_used_at__lte=Now() - USE_NOTED_EVERY)
    ApiKey.objects.filter(unnoted, pk=row.pk).update(last_used_at=Now())


def revoke(*pks: int) -> int:
    """Make the keys useless from now on; return how many were not revoked before."""
    return ApiKey.objects.filter(pk__in=pks, revoked_at=None).update(revoked_at=Now())


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
