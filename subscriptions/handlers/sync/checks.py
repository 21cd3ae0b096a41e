"""System checks of the providers' settings."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks

from subscriptions.addresses import parse_address
from subscriptions.handlers.sync.shipped import PROVIDERS


@checks.register()
def providers_are_set_up(**kwargs: Any) -> list[checks.CheckMessage]:
    """subscriptions.E010 and W010: tokens are sent over TLS; an app has both id and secret."""
    return [message for name in sorted(PROVIDERS) for message in _messages(name.upper())]


def _messages(prefix: str) -> Iterator[checks.CheckMessage]:
    for name in (f"{prefix}_API_URL", f"{prefix}_TOKEN_URL"):
        if _is_in_the_clear(getattr(settings, name)):
            yield checks.Error(
                f"{name} is http: it would carry companies' tokens in the clear",
                hint="Only a host of this machine may be http.",
                id="subscriptions.E010",
            )
    names = (f"{prefix}_CLIENT_ID", f"{prefix}_CLIENT_SECRET")
    given = [name for name in names if getattr(settings, name)]
    if len(given) == 1:
        yield checks.Warning(
            f"{given[0]} is set without the other of {' and '.join(names)}",
            hint="Without both no token is renewed.",
            id="subscriptions.W010",
        )


def _is_in_the_clear(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = parse_address(host)
    is_local = host == "localhost" or (address is not None and address.is_loopback)
    return parts.scheme == "http" and not is_local
