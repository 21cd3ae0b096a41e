"""One exchange with a provider: bounded in time and size, no redirect, nothing from the
environment.

The hosts are the operator's own settings, not a customer's: any address may be dialled.
"""

import json
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from subscriptions.handlers.sync.errors import Unavailable
from subscriptions.handlers.webhook import parse_retry_after

TIME_LIMIT_SECONDS = 20.0
CONNECT_SECONDS = 5.0
READ_LIMIT = 1024 * 1024
KEEP_LIMIT = 4 * 1024

_local = threading.local()


@dataclass(frozen=True)
class Reply:
    """An answer, whatever its status; `document` is its JSON object, {} if it is none."""

    status: int
    text: str
    headers: httpx.Headers

    @property
    def document(self) -> dict[str, Any]:
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def retry_after(self) -> timedelta | None:
        return parse_retry_after(self.headers.get("retry-after"), now=datetime.now(tz=UTC))

    @property
    def kept(self) -> str:
        return self.text[:KEEP_LIMIT]


def exchange(method: str, url: str, *, headers: dict[str, str], **content: Any) -> Reply:
    """Send one request; `content` is httpx's params, json, data or auth.

    Raises Unavailable, whose text holds neither URL nor headers, if no whole answer came in time.
    """
    deadline = time.monotonic() + TIME_LIMIT_SECONDS
    try:
        auth = content.pop("auth", None)
        request = _client().build_request(
            method, url, headers={**headers, "accept-encoding": "identity"}, **content
        )
        response = _client().send(request, stream=True, auth=auth)
        with closing(response):
            body = _read(response, deadline)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"the provider gave no answer: {type(error).__name__}") from error
    text = body.decode("utf-8", "replace").replace("\x00", "\ufffd")
    return Reply(response.status_code, text, response.headers)


def _client() -> httpx.Client:
    """Return this thread's client, which keeps its connections."""
    client: httpx.Client | None = getattr(_local, "client", None)
    if client is None:
        client = _local.client = httpx.Client(
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(TIME_LIMIT_SECONDS, connect=CONNECT_SECONDS),
        )
    return client


def _read(response: httpx.Response, deadline: float) -> bytes:
    """Read the body raw; one that does not end, or is too large, is no answer."""
    found = bytearray()
    for chunk in response.iter_raw():
        found += chunk
        if len(found) > READ_LIMIT:
            raise Unavailable(f"the provider's answer is larger than {READ_LIMIT} bytes")
        if time.monotonic() > deadline:
            raise Unavailable(f"the provider's answer took more than {TIME_LIMIT_SECONDS:g} s")
    return bytes(found)
