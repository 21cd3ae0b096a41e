"""Real relay and worker processes deliver; a worker told to leave records what it sent."""

import json
import signal
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.db import connection
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from subscriptions.models import Delivery
from subscriptions.searching import search
from subscriptions.services import create_subscription
from tests.acceptance.conftest import Platform
from tests.subscriptions.test_email import free_port
from tests.waiting import wait_until

LOCAL = "127.0.0.0/8"


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    server = HTTPServer(threaded=True)
    server.start()
    yield server
    server.stop()


class Counted:
    """Takes every mail."""

    count = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - the library's name
        self.count += 1
        return "250 taken"


@pytest.fixture
def mails() -> Iterator[Controller]:
    server = Controller(Counted(), hostname="127.0.0.1", port=free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def deals(transactional_db: None) -> Iterator[None]:
    """A watched table."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE deals (id int PRIMARY KEY, company text)")
        cursor.execute("SELECT attach_event_trigger('deals')")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM event_system_subscription")
        cursor.execute("SELECT detach_event_trigger('deals')")
        cursor.execute("DROP TABLE deals")


def test_a_worker_told_to_leave_records_the_webhooks_it_has_sent(
    platform: Platform, deals: None, receiver: HTTPServer, mails: Controller, settings: Settings
) -> None:
    came, never = threading.Event(), threading.Event()

    def slow(request: Request) -> Response:
        came.set()
        never.wait(4)  # longer than a process needs that waits for nothing
        return Response(json.dumps({"seen": True}))

    receiver.expect_request("/slow").respond_with_handler(slow)
    receiver.expect_request("/fast").respond_with_data("")
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network(LOCAL)]
    settings.EMAIL_URL = "smtp://127.0.0.1"
    for name in ("slow", "fast"):
        create(name, {"url": receiver.url_for(f"/{name}")})
    create("found", {"title": "deal {id}"}, handler_type="SEARCH")
    create("mailed", {"to": ["desk@example.com"]}, handler_type="EMAIL")
    mail_url = f"smtp://{mails.hostname}:{mails.port}"
    platform.start("worker", "relay", WEBHOOK_ALLOWED_NETWORKS=LOCAL, EMAIL_URL=mail_url)

    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO deals SELECT n, 'acme' FROM generate_series(1, 5) AS n")
    wait_until(came.is_set, what="the slow receiver has been called")
    others = Delivery.objects.exclude(subscription__name="slow").filter(status="delivered")
    wait_until(lambda: others.count() == 15, what="the others have all")
    platform.services.processes.send_signal("worker", signal.SIGTERM)
    wait_until(lambda: "Warm shutdown" in platform.log("worker"), what="the worker has heard")

    assert platform.services.processes.wait("worker", seconds=30) == 0
    assert set(Delivery.objects.values_list("status", "attempts")) == {("delivered", 1)}
    assert Delivery.objects.count() == 20
    assert [hit.title for hit in search("acme", "deal 3")] == ["deal 3"]
    assert mails.handler.count == 5


def create(name: str, config: dict[str, Any], *, handler_type: str = "WEBHOOK") -> None:
    create_subscription(
        name=name, company="acme", table="deals", handler_type=handler_type, config=config
    )
