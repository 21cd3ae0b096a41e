"""WEBHOOK: POST the event to a URL, signed as Standard Webhooks (https://www.standardwebhooks.com)."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Annotated, Literal
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from pydantic import AfterValidator, Field

from subscriptions.addresses import is_allowed, parse_address
from subscriptions.errors import InvalidSubscription, UnsafeAddress
from subscriptions.handlers.contract import (
    HIDDEN,
    Handler,
    HandlerConfig,
    Item,
    Outcome,
    Preview,
    handler,
)
from subscriptions.safe_http import ExchangeFailed, checked_addresses, send
from subscriptions.signing import is_secret, signature_headers

log = structlog.get_logger(__name__)

THREADS = 8
LONGEST_RETRY_AFTER = timedelta(days=1)
CHECK_SECONDS = 2.0
# What the signature, the length and the connection depend on is not the customer's to set.
OWN_HEADERS = frozenset(
    {"webhook-id", "webhook-timestamp", "webhook-signature", "host", "content-length"}
    | {"transfer-encoding", "connection", "accept-encoding"}
)


def http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must have the form https://host/path")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password: use headers")
    return value


def own_headers_left_out(value: dict[str, str]) -> dict[str, str]:
    for name, text in value.items():
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"{name} is set by the platform")
        if not name.isascii() or any(ord(c) <= 32 or c == ":" for c in name) or not name:
            raise ValueError(f"{name!r} is no header name")
        if any(ord(c) < 32 or ord(c) == 127 or ord(c) > 255 for c in text):
            raise ValueError(f"the value of {name} must be one line of Latin-1 text")
    return value


def signing_secret(value: str | None) -> str | None:
    if value is not None and not is_secret(value):
        raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return value


@handler("WEBHOOK")
class WebhookHandler(Handler):
    queue = "webhooks"
    has_secret = True

    class Config(HandlerConfig):
        url: Annotated[str, AfterValidator(http_url)]
        headers: Annotated[dict[str, str], AfterValidator(own_headers_left_out)] = Field(
            default_factory=dict, repr=False
        )
        method: Literal["POST", "PUT", "PATCH"] = "POST"
        format: Literal["default"] = "default"
        # Moved into the encrypted column as soon as the subscription is loaded.
        secret: Annotated[str | None, AfterValidator(signing_secret)] = Field(
            default=None, repr=False
        )

    def check(self, config: Config, *, company: str | None) -> None:
        """Refuse a URL that leads to a private address now; the dialling worker checks it again."""
        parts = urlsplit(config.url)
        host = parts.hostname or ""
        allowed = settings.WEBHOOK_ALLOWED_NETWORKS
        address = parse_address(host)
        try:
            if address is not None:
                if not is_allowed(address, allowed):
                    raise UnsafeAddress(host, "is not a public address (WEBHOOK_ALLOWED_NETWORKS)")
                return
            checked_addresses(host, parts.port or 443, allowed=allowed, seconds=CHECK_SECONDS)
        except UnsafeAddress as error:
            if error.is_unresolved:  # DNS may know it by the time of the first delivery
                return
            raise InvalidSubscription("config.url", str(error)) from error

    def preview(self, item: Item) -> Preview:
        config: WebhookHandler.Config = item.config
        headers = {
            "content-type": "application/json",
            **{name.lower(): HIDDEN for name in config.headers},
            "webhook-id": item.message_id,
            "webhook-timestamp": "when it is sent",
            "webhook-signature": "v1,… made with the secret",
        }
        return Preview(f"{config.method} {config.url}", headers, item.event.body())

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        if len(batch) == 1:
            yield _outcome(batch[0])
            return
        futures = [self.threads.submit(_outcome, item) for item in batch]
        for future in as_completed(futures):
            yield future.result()

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """Threads that live as long as the process: each keeps its connections to the receivers."""
        return ThreadPoolExecutor(THREADS, thread_name_prefix="webhook")


def _outcome(item: Item) -> Outcome:
    """Make one try; whatever it raises fails this item alone, not the batch of many companies."""
    try:
        return _deliver(item)
    except Exception as error:
        log.exception("webhook_failed", delivery_id=item.delivery_id)
        # Without the error's text, which may hold a header's value or the URL.
        return Outcome.failed(item, f"the request could not be made: {type(error).__name__}")


def _deliver(item: Item) -> Outcome:
    """Make one try. Runs in a thread: touches no database."""
    config: WebhookHandler.Config = item.config
    if item.secret is None:
        return Outcome.failed(item, "the subscription has no secret to sign with")
    began = time.monotonic()
    body = item.event.body()
    headers = {
        "content-type": "application/json",
        "user-agent": "Counterpoint",
        **{name.lower(): value for name, value in config.headers.items()},
        **signature_headers(
            item.secret, message_id=item.message_id, moment=datetime.now(tz=UTC), body=body
        ),
    }
    try:
        answer = send(
            config.method,
            config.url,
            headers=headers,
            content=body.encode(),
            allowed=settings.WEBHOOK_ALLOWED_NETWORKS,
        )
    except (ExchangeFailed, UnsafeAddress) as error:
        return Outcome.failed(item, str(error), duration=_since(began))
    details = {
        "status_code": answer.status,
        "response": answer.body,
        "duration": _since(began),
    }
    if 200 <= answer.status < 300:
        return Outcome.delivered(item, **details)
    return Outcome.failed(
        item,
        f"HTTP {answer.status}",
        gone=answer.status == 410,
        retry_after=parse_retry_after(answer.retry_after, now=datetime.now(tz=UTC)),
        **details,
    )


def _since(began: float) -> timedelta:
    return timedelta(seconds=time.monotonic() - began)


def parse_retry_after(text: str | None, *, now: datetime) -> timedelta | None:
    """Return the header's seconds or HTTP date (RFC 9110, 10.2.3) as a time from now, at most a
    day.
    """
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(timedelta(seconds=min(int(text[:9]), 10**6)), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - now, timedelta()), LONGEST_RETRY_AFTER)
