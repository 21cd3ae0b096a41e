"""A proxy on loopback that counts the HTTP requests that it passes on."""

import socket
import socketserver
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from counterpoint.embedded.ports import HOST

CHUNK = 65536
METHODS = (b"GET ", b"POST ", b"PUT ", b"DELETE ", b"HEAD ")


class CountingProxy:
    """Passes bytes on between its clients and one server; `requests` counts those that began.

    A request begins where a client's data, after the server's last answer, begins with a method:
    right for clients that wait for an answer before they ask again, as SQS's do.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or HOST, parts.port or 80)
        self._lock = threading.Lock()
        self.requests = 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.request)

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{HOST}:{self._server.server_address[1]}"

    def _serve(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server:
            back = threading.Thread(target=_pass_on, args=(server, client), daemon=True)
            back.start()
            while data := _receive(client):
                if data.startswith(METHODS):
                    with self._lock:
                        self.requests += 1
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK)
    except OSError:  # reset by a process that was stopped
        return b""


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := _receive(source):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # the client has gone meanwhile
        return
