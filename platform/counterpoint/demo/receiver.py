"""The demo's webhook receiver: it checks each signature with the official library, as a customer
would.
"""

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Arrival:
    """One POST as the receiver saw it; `at` is Unix time, `problem` why the signature is wrong."""

    at: float
    path: str
    body: Any
    webhook_id: str
    problem: str | None


class Receiver:
    """An HTTP server in a thread; set the path's secret before the first webhook is due."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.arrivals: list[Arrival] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.time()
                raw = self.rfile.read(int(self.headers.get("content-length", 0)))
                arrival = receiver.check(at, self.path, raw, dict(self.headers.items()))
                receiver.arrivals.append(arrival)
                self.send_response(400 if arrival.problem else 204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - inherited
                """Stay silent: the demo prints a table of its own."""

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}"

    def check(self, at: float, path: str, raw: bytes, headers: dict[str, str]) -> Arrival:
        """Verify one request as the Standard Webhooks library does."""
        lowered = {name.lower(): value for name, value in headers.items()}
        webhook_id = lowered.get("webhook-id", "")
        try:
            body = Webhook(self.secrets[path]).verify(raw, lowered)
        except (WebhookVerificationError, ValueError, KeyError) as error:
            return Arrival(at, path, None, webhook_id, str(error) or type(error).__name__)
        return Arrival(at, path, body, webhook_id, None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
