"""Authorised calls of one company to one provider, at the provider's pace."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import connection, transaction

from subscriptions.handlers.sync.errors import NotConnected, Rejected, Throttled
from subscriptions.handlers.sync.http import Reply, exchange
from subscriptions.handlers.sync.pacing import Permit, State, Wait, decide
from subscriptions.handlers.sync.providers import Payload, Provider
from subscriptions.handlers.sync.tokens import access_token
from subscriptions.models import ExternalConnection

# For so long a call waits for its place; whoever would wait longer comes again.
PATIENCE = timedelta(seconds=3)

_READ = """
SELECT paced_until, blocked_until, calls_until, day_started_at, day_calls, clock_timestamp()
FROM event_system_connection WHERE id = %s FOR NO KEY UPDATE
"""
_WRITE = """
UPDATE event_system_connection
SET paced_until = %s, blocked_until = %s, calls_until = %s, day_started_at = %s, day_calls = %s
WHERE id = %s
"""
_END = """
UPDATE event_system_connection
SET calls_until = array_remove(calls_until, %s),
    blocked_until = GREATEST(blocked_until, clock_timestamp() + make_interval(secs => %s))
WHERE id = %s
"""


class Session:
    """`place` is the time in the rate that was given to this record before; it is used once."""

    def __init__(
        self, row: ExternalConnection, provider: Provider, *, place: datetime | None
    ) -> None:
        self.id = row.pk
        self.tenant_id = row.tenant_id
        self.provider = provider
        self.place = place

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Payload | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return an answer of 2xx, else raise SyncFailed. A refused token is renewed, once."""
        token = access_token(self.id, self.provider)
        request = {"params": params, "content": None if body is None else _text(body)}
        try:
            return self._try(method, path, token, headers or {}, request)
        except Rejected:
            token = access_token(self.id, self.provider, refused=token)
        try:
            return self._try(method, path, token, headers or {}, request)
        except Rejected as error:
            raise NotConnected(
                f"{error}; a new access token is refused too: connect the company again",
                status_code=error.status_code,
                response=error.response,
            ) from error

    def _try(
        self, method: str, path: str, token: str, headers: Mapping[str, str], request: Payload
    ) -> Reply:
        with self._permit():
            reply = exchange(
                method,
                self.provider.url(path, tenant_id=self.tenant_id),
                headers={
                    **self.provider.headers(tenant_id=self.tenant_id),
                    **headers,
                    "authorization": f"Bearer {token}",
                    "content-type": "application/json",
                },
                **{name: value for name, value in request.items() if value is not None},
            )
            failure = self.provider.failure(reply)
            if failure is not None:
                raise failure
            return reply

    @contextmanager
    def _permit(self) -> Iterator[None]:
        """Hold one of the concurrent calls; a 429 ends with all workers waiting for its time."""
        until = self._wait()
        blocked_seconds: float | None = None
        try:
            yield
        except Throttled as error:
            if error.retry_after is not None:
                blocked_seconds = error.retry_after.total_seconds()
            raise
        finally:
            with connection.cursor() as cursor:
                cursor.execute(_END, [until, blocked_seconds, self.id])

    def _wait(self) -> datetime:
        patience = PATIENCE
        while True:
            found, delay = self._decide()
            if isinstance(found, Permit):
                self.place = None
                return found.until
            if found.has_place:
                self.place = found.at
            if delay > patience:
                raise self._throttled(delay)
            patience -= delay
            time.sleep(delay.total_seconds())

    def _throttled(self, delay: timedelta) -> Throttled:
        error = Throttled(
            f"more records wait than {self.provider.title} takes; this one's turn is in"
            f" {delay.total_seconds():.0f} s",
            retry_after=delay,
        )
        error.place = self.place
        return error

    def _decide(self) -> tuple[Permit | Wait, timedelta]:
        """Ask for a call, under the row's lock; return the answer, and how long it is to wait."""
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(_READ, [self.id])
            row = cursor.fetchone()
            if row is None:
                raise NotConnected(f"the connection to {self.provider.title} was removed")
            state = State(row[0], row[1], tuple(row[2]), row[3], row[4])
            now: datetime = row[5]
            found = decide(state, self.provider.pace, now=now, place=self.place)
            kept = found.state
            cursor.execute(
                _WRITE,
                [
                    kept.paced_until,
                    kept.blocked_until,
                    list(kept.calls_until),
                    kept.day_started_at,
                    kept.day_calls,
                    self.id,
                ],
            )
        return found, timedelta() if isinstance(found, Permit) else found.at - now


def _text(body: Payload) -> bytes:
    """Return the same bytes for the same payload: providers compare what one key comes with."""
    return json.dumps(body, sort_keys=True).encode()
