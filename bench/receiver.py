"""`python -m bench.receiver FILE`: a receiver of webhooks that costs next to nothing.

It writes its port into FILE. The first part of a path says how it answers: `/ok` with 200,
`/slow/SECONDS` with 200 after so many seconds, `/never` not at all. What came is asked for below
`/~`: see `Receiver`.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

from counterpoint.embedded.ports import HOST

HEAD_END = b"\r\n\r\n"
NOT_FOUND = "404 Not Found"


class Arrivals:
    """What came, in order: id, Unix time, CLOCK_MONOTONIC's time, path; and how many by mode."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float, str]] = []
        self.counts: Counter[str] = Counter()

    def add(self, webhook_id: str, path: str) -> None:
        self.rows.append((webhook_id, time.time(), time.monotonic(), path))
        self.counts[_mode(path)] += 1

    def answer(self, path: str) -> tuple[str, object]:
        """Return the status and the document of a question below `/~`."""
        if path == "/~counts":
            return "200 OK", dict(self.counts)
        if path == "/~arrivals":
            return "200 OK", self.rows
        if path == "/~clear":
            self.rows, self.counts = [], Counter()
            return "200 OK", {}
        return NOT_FOUND, {}


def _mode(path: str) -> str:
    return path[1:].partition("/")[0].partition("?")[0]


class Conversation(asyncio.Protocol):
    """One connection, kept open; requests that came together are answered in their order."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"not a stream: {transport!r}")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(HEAD_END)) >= 0:
            head = self._buffer[:end].decode("latin-1")
            length = int(_header(head, "content-length") or 0)
            following = end + len(HEAD_END) + length
            if len(self._buffer) < following:
                return
            self._buffer = self._buffer[following:]
            self._take(head)

    def _take(self, head: str) -> None:
        path = head.split(" ", 2)[1]
        if path.startswith("/~"):
            status, document = self._arrivals.answer(path)
            self._reply(status, json.dumps(document).encode())
            return
        self._arrivals.add(_header(head, "webhook-id"), path)
        mode = _mode(path)
        if mode == "slow":
            seconds = float(path.split("/")[2].partition("?")[0])
            asyncio.get_running_loop().call_later(seconds, self._reply, "200 OK", b"")
        elif mode != "never":
            self._reply("200 OK", b"")

    def _reply(self, status: str, body: bytes) -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
        if not self._transport.is_closing():
            self._transport.write(head.encode() + body)


def _header(head: str, name: str) -> str:
    """Return a header's value, "" without it; the names are looked for in lower case."""
    start = head.lower().find(f"\r\n{name}:")
    if start < 0:
        return ""
    return head[start + len(name) + 3 :].partition("\r\n")[0].strip()


async def serve(port_file: Path) -> None:
    """Listen on a free port of loopback until the process ends."""
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Conversation(arrivals), HOST, 0, backlog=1024)
    part = port_file.with_suffix(".part")
    part.write_text(str(server.sockets[0].getsockname()[1]))
    part.replace(port_file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
