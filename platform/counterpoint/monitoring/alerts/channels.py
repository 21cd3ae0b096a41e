"""By what operators are told: mail to `ALERT_MAIL_TO`, and each URL of `ALERT_URLS` by Apprise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

import structlog
from django.conf import settings
from django.core.mail import EmailMessage

from subscriptions.handlers.notify import without_secrets

log = structlog.get_logger(__name__)

MAIL = "mail"
SECONDS = 30.0  # for all that a notification takes
LONGEST = 500  # characters of an error


class Channel(Protocol):
    """One way to tell; `send` returns what went wrong, in a line without secrets, or None."""

    def send(self, title: str, body: str) -> str | None: ...


@dataclass(frozen=True)
class Mail:
    to: tuple[str, ...]

    def send(self, title: str, body: str) -> str | None:
        message = EmailMessage(
            subject=title,
            body=body,
            to=list(self.to),
            headers={"Auto-Submitted": "auto-generated"},  # RFC 3834
        )
        try:
            message.send()
        except Exception as error:  # the SMTP library's, sockets', encodings'
            return f"{type(error).__name__}: {error}"[:LONGEST]
        return None


@dataclass(frozen=True)
class ByApprise:
    url: str = field(repr=False)

    def send(self, title: str, body: str) -> str | None:
        import apprise  # it takes a second to load

        asset = apprise.AppriseAsset(
            app_id="Counterpoint", app_url="", image_url_mask="", storage_mode="memory"
        )
        client = apprise.Apprise(asset=asset)
        try:
            if not client.add(self.url):
                return "Apprise does not take the URL: look its form up in Apprise's pages"
            result = client.notify(body=body, title=title, timeout=SECONDS)
        except Exception as error:
            # Without its text, which may hold the URL.
            return type(error).__name__
        if result:
            return None
        said = "; ".join(dict.fromkeys(entry.message for entry in result.logs()))
        return without_secrets(said or "the service did not take it", url=self.url)[:LONGEST]


def name_of(url: str) -> str:
    """Return the service, and what tells two of them apart without telling the URL."""
    return f"{url.partition(':')[0]}-{sha256(url.encode()).hexdigest()[:6]}"


def channels() -> Mapping[str, Channel]:
    """Return what the settings name, by a name that may be shown."""
    found: dict[str, Channel] = {name_of(url): ByApprise(url) for url in settings.ALERT_URLS}
    if settings.ALERT_MAIL_TO and settings.EMAIL_URL:
        found[MAIL] = Mail(tuple(settings.ALERT_MAIL_TO))
    return found


def names() -> list[str]:
    return list(channels())
