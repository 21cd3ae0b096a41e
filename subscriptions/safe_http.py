"""HTTP to addresses that customers name: the address dialled is the address checked.

A host is resolved once; one private answer refuses all of them. Nothing is taken from the
environment (no proxy, no netrc), no redirect is followed, nothing is decompressed, and one
deadline covers resolving, connecting, TLS, headers and body.
"""

import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from ssl import SSLContext
from typing import Any

import httpcore
import httpx

from subscriptions.addresses import Network, is_allowed, parse_address
from subscriptions.errors import UnsafeAddress

TIME_LIMIT_SECONDS = 15.0
READ_LIMIT = 64 * 1024
KEEP_LIMIT = 4 * 1024
KEEP_ALIVE_SECONDS = 5.0  # of a connection that nothing uses; servers often close theirs then
KEPT_CONNECTIONS = 4  # of a client that is idle
KEPT_CLIENTS = 64  # that are idle, in a process
FAILURES = (
    httpx.InvalidURL,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)

# More than can wait at once (lanes.THREADS): a look-up goes on after its exchange has given up, and
# must not keep the others from theirs.
_resolvers = ThreadPoolExecutor(max_workers=512, thread_name_prefix="resolve")


class Deadline:
    """A moment after which nothing waits any longer; seconds on the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds

    def left(self, limit: float | None = None) -> float:
        """Return the seconds left, at most `limit`; raises httpcore.ReadTimeout when there are
        none.
        """
        seconds = self.at - time.monotonic()
        if seconds <= 0:
            raise httpcore.ReadTimeout("the time limit of the whole exchange is over")
        return seconds if limit is None else min(limit, seconds)


def resolve(host: str, port: int, *, seconds: float) -> list[str]:
    """Return the host's addresses as text.

    Raises UnsafeAddress if it has none, or if the answer took longer: `getaddrinfo` itself has no
    time limit.
    """
    if parse_address(host) is not None:
        return [host]
    future = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        answers = future.result(timeout=seconds)
    except FutureTimeout:
        future.cancel()
        raise UnsafeAddress(host, "was not resolved in time", is_unresolved=True) from None
    except (OSError, UnicodeError):
        raise UnsafeAddress(host, "does not resolve to an address", is_unresolved=True) from None
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def checked_addresses(
    host: str, port: int, *, allowed: Sequence[Network], seconds: float
) -> list[str]:
    """Return the host's addresses if all of them may be reached, else raise UnsafeAddress."""
    found = resolve(host, port, seconds=seconds)
    for text in found:
        address = parse_address(text)
        if address is None or not is_allowed(address, allowed):
            raise UnsafeAddress(
                host, f"leads to {text}, which is not a public address (WEBHOOK_ALLOWED_NETWORKS)"
            )
    return found


class _BoundedStream(httpcore.NetworkStream):
    """A stream whose every wait ends with the exchange's deadline, also one byte at a time."""

    def __init__(self, stream: httpcore.NetworkStream, owner: "_CheckedBackend") -> None:
        self._stream = stream
        self._owner = owner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._owner.deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it. The stream's own `write` waits the whole time again for each part that a
        slow reader takes.
        """
        sock, rest = self._stream.get_extra_info("socket"), memoryview(buffer)
        while rest:
            sock.settimeout(self._owner.deadline.left(timeout))
            try:
                sent = sock.send(rest)
            except TimeoutError as error:
                raise httpcore.WriteTimeout(str(error)) from error
            except OSError as error:
                raise httpcore.WriteError(str(error)) from error
            rest = rest[sent:]

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        limit = self._owner.deadline.left(timeout)
        return _BoundedStream(
            self._stream.start_tls(ssl_context, server_hostname, limit), self._owner
        )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _CheckedBackend(httpcore.SyncBackend):
    """Dials only addresses that it has checked itself; TLS and Host keep the name."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self.allowed = allowed
        self.deadline = Deadline(TIME_LIMIT_SECONDS)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = checked_addresses(
            host, port, allowed=self.allowed, seconds=self.deadline.left(timeout)
        )
        for position, address in enumerate(addresses):
            try:
                stream = super().connect_tcp(
                    address, port, self.deadline.left(timeout), local_address, socket_options
                )
            except httpcore.ConnectError:
                if position == len(addresses) - 1:
                    raise
            else:
                return _BoundedStream(stream, self)
        raise httpcore.ConnectError("no address to connect to")

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("sockets of this machine are not dialled")


@cache
def _trusted() -> SSLContext:
    """The certificates of public authorities, read once: it takes 20 ms."""
    return httpx.create_ssl_context(trust_env=False)


class _Client:
    """Connections of its own, for one exchange at a time. Of httpx only the engine: no cookies,
    which would go from one company's receiver to another's on the same host, and half the cost.

    `idle_since` is on the monotonic clock.
    """

    def __init__(self, allowed: Sequence[Network]) -> None:
        self.backend = _CheckedBackend(allowed)
        self.pool = httpcore.ConnectionPool(
            ssl_context=_trusted(),
            max_connections=20,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
            network_backend=self.backend,
        )
        self.idle_since = time.monotonic()


_clients: deque[_Client] = deque()


@contextmanager
def _client(allowed: Sequence[Network]) -> Iterator[_Client]:
    """Lend a client for one exchange: the one that was used last, whose connections still live."""
    try:
        held = _clients.pop()
    except IndexError:
        held = _Client(allowed)
    if held.backend.allowed is not allowed:
        held.pool.close()
        held = _Client(allowed)
    try:
        yield held
    finally:
        held.idle_since = time.monotonic()
        _clients.append(held)
        _close_idle(held.idle_since)


def _close_idle(now: float) -> None:
    """Close the clients that nobody has used for long, and those beyond the number kept: their
    connections would stay open, each in its pool, until it is used again.
    """
    while _clients:
        try:
            oldest = _clients.popleft()
        except IndexError:  # another thread has it
            return
        if len(_clients) < KEPT_CLIENTS and now - oldest.idle_since <= KEEP_ALIVE_SECONDS:
            _clients.appendleft(oldest)
            return
        oldest.pool.close()


@lru_cache(maxsize=4096)
def _target(url: str) -> tuple[httpcore.URL, bytes]:
    """Return the URL as it is dialled, and the Host header. Raises httpx.InvalidURL."""
    found = httpx.URL(url)
    target = httpcore.URL(
        scheme=found.raw_scheme, host=found.raw_host, port=found.port, target=found.raw_path
    )
    return target, found.netloc


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is at most 4 KiB of it, `retry_after` the header's text."""

    status: int
    body: str
    retry_after: str | None


class ExchangeFailed(Exception):
    """No complete answer: the text says why, without the URL (which may hold a secret)."""


def send(
    method: str,
    url: str,
    *,
    headers: dict[str, str],
    content: bytes,
    allowed: Sequence[Network],
    seconds: float = TIME_LIMIT_SECONDS,
) -> Answer:
    """Send one request and return the answer, whatever its status.

    Raises ExchangeFailed if there was none in time, UnsafeAddress if the host must not be dialled.
    """
    with _client(allowed) as held:
        held.backend.deadline = Deadline(seconds)
        try:
            request = _request(method, url, headers, content, seconds)
            response = held.pool.handle_request(request)
            with closing(response):
                body = _read(response)
        except httpcore.LocalProtocolError as error:  # its text may hold a header's value
            raise ExchangeFailed("LocalProtocolError: this request cannot be written") from error
        except FAILURES as error:
            raise ExchangeFailed(f"{type(error).__name__}: {error}"[:500]) from error
    return Answer(
        response.status,
        body[:KEEP_LIMIT].decode("utf-8", "replace").replace("\x00", "\ufffd"),
        _header(response, b"retry-after"),
    )


def _request(
    method: str, url: str, headers: dict[str, str], content: bytes, seconds: float
) -> httpcore.Request:
    target, host = _target(url)
    own = {"accept": "*/*", **headers, "accept-encoding": "identity"}
    return httpcore.Request(
        method,
        target,
        headers=[
            (b"host", host),
            (b"content-length", str(len(content)).encode()),
            *((name.encode("latin-1"), value.encode("latin-1")) for name, value in own.items()),
        ],
        content=content,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)},
    )


def _header(response: httpcore.Response, name: bytes) -> str | None:
    found = [value for key, value in response.headers if key.lower() == name]
    return found[0].decode("latin-1") if found else None


def _read(response: httpcore.Response) -> bytes:
    """Read at most 64 KiB of what was sent, raw: a compressed body stays compressed."""
    found = bytearray()
    for chunk in response.iter_stream():
        found += chunk
        if len(found) >= READ_LIMIT:
            break
    return bytes(found)
