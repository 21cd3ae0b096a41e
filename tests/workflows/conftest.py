"""A mail server, an SMS service and a payment gateway on this machine."""

from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from pytest_django import Settings
from pytest_httpserver import HTTPServer

from tests.jobs.conftest import Post, post
from tests.subscriptions.conftest import Messages, messages
from tests.subscriptions.test_email import Post as MailServer
from tests.subscriptions.test_email import free_port

__all__ = ["MailServer", "Messages", "Post", "messages", "post"]


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    taken = MailServer()
    controller = Controller(taken, hostname="127.0.0.1", port=free_port())
    controller.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_URL = "smtp://127.0.0.1"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", controller.port
    settings.DEFAULT_FROM_EMAIL = "Desk <desk@example.com>"
    yield taken
    controller.stop()


@pytest.fixture
def gateway(httpserver: HTTPServer, settings: Settings) -> HTTPServer:
    settings.PAYMENT_GATEWAY_URL = httpserver.url_for("/gateway")
    settings.PAYMENT_GATEWAY_TOKEN = "token-1"
    return httpserver
