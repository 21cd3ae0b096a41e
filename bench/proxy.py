"""A proxy on loopback that counts how often its clients ask and are answered."""

import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

from counterpoint.embedded.ports import HOST

CHUNK = 65536


class CountingProxy:
    """Passes bytes on between its clients and one server; `turns` counts the clients' requests.

    A turn begins where a client sends after the server has, or first: a round trip of a protocol
    in which the client waits for its answer, as Postgres's is and HTTP is to SQS.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._lock = threading.Lock()
        self.turns = 0
        proxy = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                _Conversation(proxy, self.request).run()

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def count(self) -> None:
        with self._lock:
            self.turns += 1

    def connect(self) -> socket.socket:
        """Return a new connection to the server; small packets are not held back."""
        server = socket.create_connection(self._target)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

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


class _Conversation:
    """One client's connection and the one to the server that answers it."""

    def __init__(self, proxy: CountingProxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._client_spoke_last = False

    def run(self) -> None:
        with self._proxy.connect() as server:
            back = threading.Thread(target=self._answer, args=(server,), daemon=True)
            back.start()
            while data := _receive(self._client):
                if not self._client_spoke_last:
                    self._client_spoke_last = True
                    self._proxy.count()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join()

    def _answer(self, server: socket.socket) -> None:
        try:
            while data := _receive(server):
                self._client_spoke_last = False
                self._client.sendall(data)
            self._client.shutdown(socket.SHUT_WR)
        except OSError:  # the client has gone meanwhile
            return


def _receive(connection: socket.socket) -> bytes:
    try:
        return connection.recv(CHUNK)
    except OSError:  # reset by a process that was stopped
        return b""
