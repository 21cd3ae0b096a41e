"""An HTTP proxy before SQS that duplicates, delays, reorders and drops messages.

It reads SQS's JSON protocol, the only one that boto3 and kombu speak by now (botocore's model of
the service lists no other); what it cannot read is passed on and listed in `misunderstood`.
"""

import hashlib
import http.client
import json
import socket
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tests.faults.mischief import Mischief

HOST = "127.0.0.1"
UPSTREAM_SECONDS = 40.0  # above the longest poll
SERVICE = "AmazonSQS."
PASSED_HEADERS = ("content-type", "x-amz-target", "authorization", "x-amz-date", "user-agent")

Json = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """One call of SQS: its operation's name, parameters and the client's headers."""

    operation: str
    parameters: Json
    headers: Mapping[str, str]

    def to(self, operation: str, **parameters: Any) -> "Request":
        """Return another call with this one's credentials."""
        target = {"x-amz-target": f"{SERVICE}{operation}"}
        return Request(operation, parameters, {**self.headers, **target})


class Refused(Exception):
    """SQS answered with an error, which the client is to see as it is."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class Proxy:
    """Serves on a loopback port of its own between enter and exit; thread-safe."""

    def __init__(self, upstream: str, mischief: Mischief) -> None:
        self.mischief = mischief
        self.sent: list[Request] = []
        self.misunderstood: list[str] = []
        self.deleted: set[str] = set()
        self._upstream = urlsplit(upstream)
        self._ids: dict[str, str] = {}
        self._late: dict[str, list[Json]] = defaultdict(list)
        self._silent_until = 0.0
        self._timers: set[threading.Timer] = set()
        self._lock = threading.Lock()
        self._server = _Server((HOST, 0), _Handler)
        self._server.proxy = self

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, name="sqs-proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for timer in self._taken_timers():
            timer.cancel()

    def silence(self, seconds: float) -> None:
        """Answer nothing but 503 for that long, as SQS does when it is away."""
        self._silent_until = time.monotonic() + seconds

    def calm_down(self) -> None:
        """Play no more tricks, and send at once what was to be sent later."""
        self.mischief.active = False
        self._silent_until = 0.0
        for timer in self._taken_timers():
            timer.cancel()
            timer.function(*timer.args)

    def replay(self, *, limit: int) -> list[str]:
        """Send messages of the history once more, evenly chosen; return the ids of the copies."""
        step = max(1, len(self.sent) // limit)
        chosen = self.sent[::step][:limit]
        return [json.loads(self.call(request))["MessageId"] for request in chosen]

    # What is done to each operation ---------------------------------------------------------------

    def answer(self, request: Request) -> Json:
        """Carry the request out in its peculiar way; raises `Refused`."""
        if time.monotonic() < self._silent_until:
            raise Refused(503, b'{"__type": "ServiceUnavailable", "message": "silenced"}')
        peculiar: dict[str, Callable[[Request], Json]] = {
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": self._change_visibility_batch,
        }
        handle = peculiar.get(request.operation)
        return handle(request) if handle else self._json(request)

    def _send(self, request: Request) -> Json:
        fate = self.mischief.of_send()
        with self._lock:
            self.sent.append(request)
        for number in range(fate.copies):
            self._after(fate.delay * (number + 1), request)
        return {"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": _md5(request.parameters)}

    def _send_batch(self, request: Request) -> Json:
        done = []
        for entry in request.parameters["Entries"]:
            one = {name: value for name, value in entry.items() if name != "Id"}
            url = request.parameters["QueueUrl"]
            answer = self._send(request.to("SendMessage", QueueUrl=url, **one))
            done.append({"Id": entry["Id"], **answer})
        return {"Successful": done, "Failed": []}

    def _receive(self, request: Request) -> Json:
        if (seconds := self.mischief.short_visibility()) is not None:
            request = request.to(
                "ReceiveMessage", **{**request.parameters, "VisibilityTimeout": seconds}
            )
        answer = self._json(request)
        url = request.parameters["QueueUrl"]
        handed_out = []
        for message in answer.get("Messages") or []:
            fate = self.mischief.of_receipt()
            self._ids[message["ReceiptHandle"]] = message["MessageId"]
            handed_out += [message] * fate.copies
            if fate.late:
                self._late[url].append(message)
        if handed_out:
            handed_out += self._late.pop(url, [])
        order = self.mischief.order(len(handed_out))
        # A client takes no more than it asked for; what is cut off comes back after its time-out.
        most = request.parameters.get("MaxNumberOfMessages", 1)
        return {**answer, "Messages": [handed_out[place] for place in order][:most]}

    def _delete(self, request: Request) -> Json:
        fate = self.mischief.of_deletion()
        if fate.copies:
            self.deleted.add(self._ids.get(request.parameters["ReceiptHandle"], ""))
            return self._json(request)
        again = {**request.parameters, "VisibilityTimeout": int(fate.delay)}
        self._json(request.to("ChangeMessageVisibility", **again))
        return {}

    def _delete_batch(self, request: Request) -> Json:
        url = request.parameters["QueueUrl"]
        for entry in request.parameters["Entries"]:
            handle = entry["ReceiptHandle"]
            self._delete(request.to("DeleteMessage", QueueUrl=url, ReceiptHandle=handle))
        return _all_well(request)

    def _change_visibility(self, request: Request) -> Json:
        return self._json(request) if self.mischief.of_visibility().copies else {}

    def _change_visibility_batch(self, request: Request) -> Json:
        return self._json(request) if self.mischief.of_visibility().copies else _all_well(request)

    def take_back(self, request: Request, answer: Json) -> None:
        """Make what nobody was there to receive visible again, as SQS does; unless there is
        trouble: then it is to be missed.
        """
        for message in answer.get("Messages", []) if not self.mischief.active else ():
            url, handle = request.parameters["QueueUrl"], message["ReceiptHandle"]
            again = {"QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 0}
            self._json(request.to("ChangeMessageVisibility", **again))

    # The wire -------------------------------------------------------------------------------------

    def _json(self, request: Request) -> Json:
        answer: Json = json.loads(self.call(request) or b"{}")
        return answer

    def call(self, request: Request) -> bytes:
        """Call SQS itself and return the answer's body; raises `Refused`."""
        body = json.dumps(request.parameters).encode()
        return self.pass_on("/", body, request.headers)[1]

    def pass_on(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[str, bytes]:
        """Pass a request on as it is; return the answer's content type and body."""
        host, port = self._upstream.hostname or HOST, self._upstream.port
        connection = http.client.HTTPConnection(host, port, timeout=UPSTREAM_SECONDS)
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise Refused(answer.status, content)
        return answer.headers.get("content-type", ""), content

    def _after(self, seconds: float, request: Request) -> None:
        if not seconds:
            self.call(request)
            return
        timer = threading.Timer(seconds, self._send_late, [request])
        timer.args.append(timer)  # type: ignore[attr-defined]  # a list, as it was given
        timer.daemon = True
        with self._lock:
            self._timers.add(timer)
        timer.start()

    def _send_late(self, request: Request, timer: threading.Timer) -> None:
        with self._lock:
            self._timers.discard(timer)
        self.call(request)

    def _taken_timers(self) -> list[threading.Timer]:
        with self._lock:
            taken, self._timers = list(self._timers), set()
        return taken


def _md5(parameters: Json) -> str:
    return hashlib.md5(parameters["MessageBody"].encode(), usedforsecurity=False).hexdigest()


def _all_well(request: Request) -> Json:
    ids = [{"Id": entry["Id"]} for entry in request.parameters["Entries"]]
    return {"Successful": ids, "Failed": []}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    proxy: Proxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients are killed here in the middle of their requests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: what is of interest is counted by `Mischief`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {k.lower(): v for k, v in self.headers.items() if k.lower() in PASSED_HEADERS}
        target = headers.get("x-amz-target", "")
        try:
            if target.startswith(SERVICE):
                request = Request(target.removeprefix(SERVICE), json.loads(body), headers)
                answer = self.server.proxy.answer(request)
                if self._is_alone():
                    self.server.proxy.take_back(request, answer)
                content = json.dumps(answer).encode()
                self._reply(200, "application/x-amz-json-1.0", content)
                return
            if "/sqs/" in headers.get("authorization", "/sqs/"):
                self.server.proxy.misunderstood.append(f"{self.path} {body[:200]!r}")
            else:  # the relay asks CloudWatch, in a protocol of its own
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
            kind, content = self.server.proxy.pass_on(self.path, body, headers)
            self._reply(200, kind, content)
        except Refused as refused:
            self._reply(refused.status, "application/x-amz-json-1.0", refused.body)

    def _is_alone(self) -> bool:
        """Whether the client is gone: it was killed in its long poll."""
        try:
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _reply(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
