"""The proxy that counts an idle worker's requests."""

import http.client
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.proxy import CountingProxy


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.fixture
def proxy() -> Iterator[CountingProxy]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with CountingProxy("127.0.0.1", server.server_address[1]) as made:
            yield made
        server.shutdown()


def test_requests_are_counted_and_answered_on_connections_kept_open(proxy: CountingProxy) -> None:
    bodies = []
    for _ in range(2):
        client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
        for length in (1, 200_000):  # the longer one comes in several pieces
            client.request("POST", "/", b"x" * length)
            bodies.append(len(client.getresponse().read()))
        client.close()

    assert bodies == [1, 200_000, 1, 200_000]
    assert proxy.turns == 4
