"""Outgoing requests: which addresses are dialled, and that every exchange ends in time."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from subscriptions import safe_http
from subscriptions.addresses import is_allowed
from subscriptions.errors import UnsafeAddress
from subscriptions.safe_http import ExchangeFailed, send

LOCAL = [ip_network("127.0.0.0/8")]


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",  # noqa: S104 - not bound to
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::8.8.8.8",
        "::ffff:10.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_special_addresses_are_refused(text: str) -> None:
    assert not is_allowed(ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.216.34", "2606:4700:4700::1111"])
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_allowed(ip_address(text))


def test_networks_are_allowed_by_setting() -> None:
    assert is_allowed(ip_address("10.1.2.3"), [ip_network("10.1.0.0/16")])
    assert not is_allowed(ip_address("10.2.2.3"), [ip_network("10.1.0.0/16"), ip_network("::/0")])


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "[::ffff:7f00:1]"]
)
def test_no_spelling_of_this_machine_is_dialled(host: str, httpserver: HTTPServer) -> None:
    with pytest.raises((UnsafeAddress, ExchangeFailed)):
        send(
            "POST",
            f"http://{host}:{httpserver.port}/",
            headers={},
            content=b"",
            allowed=[],
        )

    assert httpserver.log == []


def test_one_private_answer_refuses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)

    with pytest.raises(UnsafeAddress, match=r"10\.0\.0\.1"):
        send("POST", "http://mixed.example/", headers={}, content=b"", allowed=[])


def test_the_address_dialled_is_the_address_checked(
    monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    """A name that leads elsewhere at its second look-up is looked up once only."""
    looked_up: list[str] = []

    real = socket.getaddrinfo

    def rebinding(host: str, port: int, *args: int, **options: int) -> list[Any]:
        if host.startswith("127."):  # the socket library's own reading of an address
            return list(real(host, port, *args, **options))
        looked_up.append(host)
        ip = "127.0.0.1" if len(looked_up) == 1 else "127.0.0.2"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port))]

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    httpserver.expect_request("/").respond_with_handler(
        lambda request: Response(request.headers["Host"])
    )

    answer = send(
        "POST", f"http://rebound.example:{httpserver.port}/", headers={}, content=b"", allowed=LOCAL
    )

    assert looked_up == ["rebound.example"]
    assert answer.body == f"rebound.example:{httpserver.port}"


def test_the_proxy_of_the_environment_is_not_used(
    monkeypatch: pytest.MonkeyPatch, httpserver: HTTPServer
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    httpserver.expect_request("/").respond_with_data("direct")

    answer = send("POST", httpserver.url_for("/"), headers={}, content=b"", allowed=list(LOCAL))

    assert answer.body == "direct"


def test_a_long_answer_is_cut_to_four_kilobytes_and_a_compressed_one_stays_so(
    httpserver: HTTPServer,
) -> None:
    httpserver.expect_request("/long").respond_with_data("x" * 1_000_000)
    httpserver.expect_request("/packed").respond_with_data(
        b"\x1f\x8b not really", headers={"Content-Encoding": "gzip"}
    )

    long = send("POST", httpserver.url_for("/long"), headers={}, content=b"", allowed=LOCAL)
    packed = send("POST", httpserver.url_for("/packed"), headers={}, content=b"", allowed=LOCAL)

    assert long.body == "x" * 4096
    assert packed.body.endswith(" not really")
    assert httpserver.log[0][0].headers["Accept-Encoding"] == "identity"


Serve = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Run a server of raw sockets; returns its port. The function speaks for one connection."""
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(speak: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def accept() -> None:
            try:
                while True:
                    client, _ = server.accept()
                    with client:
                        speak(client)
            except OSError:
                return

        threads.append(threading.Thread(target=accept))
        threads[-1].start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join(10)


def never_answers(client: socket.socket) -> None:
    while client.recv(4096):
        pass


def drips(client: socket.socket) -> None:
    """Send a header a byte at a time, fast enough for any time limit on a single read."""
    stop = threading.Event()
    for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"y" * 10_000:
        client.sendall(bytes([byte]))
        stop.wait(0.01)


def endless(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        client.sendall(b"1000\r\n" + b"z" * 4096 + b"\r\n")


@pytest.mark.parametrize("speak", [never_answers, drips])
def test_the_deadline_covers_the_whole_exchange(
    speak: Callable[[socket.socket], None], serve: Serve
) -> None:
    port = serve(speak)

    with pytest.raises(ExchangeFailed, match="Timeout"):
        send(
            "POST",
            f"http://127.0.0.1:{port}/",
            headers={},
            content=b"",
            allowed=LOCAL,
            seconds=0.3,
        )


def test_the_deadline_covers_a_receiver_that_reads_slowly(serve: Serve) -> None:
    content = b"x" * 30_000_000
    taken: list[int] = []
    is_over, pause = threading.Event(), threading.Event()

    def sip(client: socket.socket) -> None:
        """Take some, each time soon enough for a limit on that write alone; then all."""
        try:
            while part := client.recv(200_000):
                taken.append(len(part))
                if len(taken) < 40:
                    pause.wait(0.05)
        finally:
            is_over.set()

    port = serve(sip)

    with pytest.raises(ExchangeFailed, match="Timeout"):
        send(
            "POST",
            f"http://127.0.0.1:{port}/",
            headers={},
            content=content,
            allowed=LOCAL,
            seconds=0.5,
        )

    assert is_over.wait(10)
    assert sum(taken) < len(content)


def test_idle_clients_beyond_some_are_closed(monkeypatch: pytest.MonkeyPatch, serve: Serve) -> None:
    monkeypatch.setattr(safe_http, "KEPT_CLIENTS", 2)
    server = HTTPServer(threaded=True)
    together = threading.Barrier(5)
    server.expect_request("/").respond_with_handler(
        lambda request: Response(str(together.wait(10)))
    )

    with server, ThreadPoolExecutor(5) as threads:
        for _ in range(5):
            threads.submit(
                send, "POST", server.url_for("/"), headers={}, content=b"", allowed=LOCAL
            )

    assert len(safe_http._clients) <= 2


def test_an_endless_answer_is_read_no_further_than_the_limit(serve: Serve) -> None:
    port = serve(endless)

    answer = send("POST", f"http://127.0.0.1:{port}/", headers={}, content=b"", allowed=LOCAL)

    assert answer.body == "z" * 4096


def test_errors_do_not_repeat_the_url(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    with pytest.raises(ExchangeFailed) as caught:
        send("POST", f"http://127.0.0.1:{port}/token-abc", headers={}, content=b"", allowed=LOCAL)

    assert "token-abc" not in str(caught.value)


def test_no_url_and_no_header_comes_into_the_log(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    httpserver.expect_request("/").respond_with_data("")

    send(
        "POST",
        httpserver.url_for("/?token=hunter2"),
        headers={"authorization": "Bearer hunter2"},
        content=b"",
        allowed=LOCAL,
    )

    ours = [one for one in caplog.records if one.name != "werkzeug"]  # the receiver's own
    assert not any("hunter2" in one.getMessage() for one in ours)
