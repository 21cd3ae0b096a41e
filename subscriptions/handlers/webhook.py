"""WEBHOOK: POST the event to a URL, signed as Standard Webhooks (https://www.standardwebhooks.com)."""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import NAMESPACE_OID, uuid5

import structlog
from django.conf import settings
from pydantic import AfterValidator, Field

from subscriptions import cloudevents
from subscriptions.addresses import is_allowed, parse_address
from subscriptions.envelope import Envelope
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

LONGEST_RETRY_AFTER = timedelta(days=1)
CHECK_SECONDS = 2.0
MOST_HEADERS = 100
LONGEST_HEADERS = 16_384  # characters, names and values together
SECRET_WAIT = timedelta(seconds=2)  # until somebody else has done with the row
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
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
    if sum(len(name) + len(text) for name, text in value.items()) > LONGEST_HEADERS:
        raise ValueError(f"have more than {LONGEST_HEADERS} characters: few receivers take so many")
    for name, text in value.items():
        if name.lower() in OWN_HEADERS:
            raise ValueError(f"{name} is set by the platform")
        if not TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no header name")
        if any(ord(c) < 32 or ord(c) == 127 or ord(c) > 255 for c in text):
            raise ValueError(f"the value of {name} must be one line of Latin-1 text")
    return {name: text.strip() for name, text in value.items()}


def signing_secret(value: str | None) -> str | None:
    if value is not None and not is_secret(value):
        raise ValueError("must be whsec_ and the base64 of 24 to 64 bytes")
    return value


@handler("WEBHOOK")
class WebhookHandler(Handler):
    queue = "webhooks"
    has_secret = True
    concurrency = 16
    chunk = 100

    class Config(HandlerConfig):
        url: Annotated[str, AfterValidator(http_url)] = Field(
            title="URL", description="Where events are posted to: https://host/path."
        )
        headers: Annotated[dict[str, str], AfterValidator(own_headers_left_out)] = Field(
            default_factory=dict,
            max_length=MOST_HEADERS,
            repr=False,
            json_schema_extra={"secret": True},
            description="Sent with every request. Their values are encrypted, and never shown"
            " again.",
        )
        method: Literal["POST", "PUT", "PATCH"] = "POST"
        format: Literal["default", "cloudevents"] = Field(
            default="default", description="cloudevents: CloudEvents 1.0 as structured JSON."
        )
        # Moved into the encrypted column as soon as the subscription is loaded.
        secret: Annotated[str | None, AfterValidator(signing_secret)] = Field(
            default=None,
            repr=False,
            description="whsec_ and base64 of 24 to 64 bytes. Empty: made, or kept.",
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
        request = request_for([replace(item, secret=None, previous_secret=None)])
        headers = {
            **request.headers,
            **{name.lower(): HIDDEN for name in item.config.headers},
            "webhook-timestamp": "when it is sent",
            "webhook-signature": "v1,… made with the secret",
        }
        return Preview(f"{request.method} {request.url}", headers, request.body)

    def deliver(self, batch: Sequence[Item]) -> Iterator[Outcome]:
        """One request for each item, or one for all of a batch. Runs in a thread: touches no
        database.
        """
        parts = [list(batch)] if batch[0].is_batched else [[item] for item in batch]
        for part in parts:
            answer = _outcome(part)
            for item in part:
                yield replace(answer, delivery_id=item.delivery_id)


def _outcome(batch: Sequence[Item]) -> Outcome:
    """Make one try; whatever it raises fails these items alone, not those of other companies."""
    try:
        return _deliver(batch)
    except Exception as error:
        log.exception("webhook_failed", delivery_id=batch[0].delivery_id)
        # Without the error's text, which may hold a header's value or the URL.
        return Outcome.failed(batch[0], f"the request could not be made: {type(error).__name__}")


@dataclass(frozen=True)
class Request:
    """What goes out. The headers hold secrets: those of the subscription, and the signature."""

    method: str
    url: str
    headers: dict[str, str]
    body: str


def request_for(batch: Sequence[Item]) -> Request:
    """Return the request for these items: of one, the event; of a batch, an array of events.

    The id stays the same over tries, of a batch as long as its events are the same.
    """
    item, config = batch[0], batch[0].config
    message_id = item.message_id
    if item.is_batched:
        message_id = f"msg_{uuid5(NAMESPACE_OID, ' '.join(one.message_id for one in batch))}"
    write: Any = cloudevents.body if config.format == "cloudevents" else _default_body
    bodies = [write(one.event) for one in batch]
    body = f"[{', '.join(bodies)}]" if item.is_batched else bodies[0]
    content_type = "application/json"
    if config.format == "cloudevents":
        content_type = cloudevents.BATCH_TYPE if item.is_batched else cloudevents.CONTENT_TYPE
    secrets = [one for one in (item.secret, item.previous_secret) if one]
    headers = {
        "content-type": content_type,
        "user-agent": "Counterpoint",
        **{name.lower(): value for name, value in config.headers.items()},
        **signature_headers(
            *secrets, message_id=message_id, moment=datetime.now(tz=UTC), body=body
        ),
    }
    return Request(config.method, config.url, headers, body)


def _default_body(event: Envelope) -> str:
    return event.body()


def _deliver(batch: Sequence[Item]) -> Outcome:
    item = batch[0]
    if item.secret is None:
        reason = "waits for its secret: somebody holds the subscription"
        return Outcome.postponed(item, reason, retry_after=SECRET_WAIT)
    began = time.monotonic()
    request = request_for(batch)
    try:
        answer = send(
            request.method,
            request.url,
            headers=request.headers,
            content=request.body.encode(),
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
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(moment - now, timedelta()), LONGEST_RETRY_AFTER)
