"""Fixtures for syncs: providers on this machine, connections to them, and a watched table."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings
from pytest_httpserver import HTTPServer

from subscriptions.deliveries import delivery, sweeping
from subscriptions.handlers.sync.connecting import connect
from subscriptions.models import ExternalConnection, ExternalMapping
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql
from tests.subscriptions.sync.fakes import FakeQuickBooks, FakeXero


@pytest.fixture
def xero(httpserver: HTTPServer, settings: Settings) -> FakeXero:
    settings.XERO_CLIENT_ID, settings.XERO_CLIENT_SECRET = "the-app", "the-app-secret"
    settings.XERO_API_URL = httpserver.url_for("/xero/api")
    settings.XERO_TOKEN_URL = httpserver.url_for("/xero/token")
    return FakeXero(httpserver)


@pytest.fixture
def quickbooks(httpserver: HTTPServer, settings: Settings) -> FakeQuickBooks:
    settings.QUICKBOOKS_CLIENT_ID = "the-app"
    settings.QUICKBOOKS_CLIENT_SECRET = "the-app-secret"
    settings.QUICKBOOKS_API_URL = httpserver.url_for("/qbo/api")
    settings.QUICKBOOKS_TOKEN_URL = httpserver.url_for("/qbo/token")
    return FakeQuickBooks(httpserver)


@pytest.fixture
def connected(transactional_db: None) -> Callable[..., ExternalConnection]:
    """Connect a company with tokens that the fakes take."""

    def make(company: str = "acme", provider: str = "xero", **fields: Any) -> ExternalConnection:
        values: dict[str, Any] = {
            "tenant_id": "4620816365",
            "refresh_token": "refresh-0",
            "access_token": "access-0",
            "expires_in": timedelta(minutes=30),
        }
        return connect(company=company, provider=provider, **{**values, **fields})

    return make


@pytest.fixture
def customers(make_table: Callable[..., None], sql: Sql) -> str:
    """A watched table: customer(id, company, name, email, phone, city)."""
    make_table(
        "customer",
        "id text PRIMARY KEY, company text, name text, email text, phone text, city text",
    )
    sql("SELECT attach_event_trigger('customer', company => 'company')")
    return "customer"


@pytest.fixture
def add(sql: Sql) -> Callable[..., None]:
    """Add a customer by plain SQL."""

    def insert(record_id: str = "c1", company: str = "acme", name: str = "Ada Ltd") -> None:
        sql(
            "INSERT INTO customer (id, company, name, email) VALUES (%s, %s, %s, %s)",
            record_id,
            company,
            name,
            "ada@example.com",
        )

    return insert


@pytest.fixture
def run(messages: Messages) -> Callable[[], int]:
    """Relay and send all there is, try each delivery once; return how many were delivered."""
    router = Router()

    def relay_and_deliver() -> int:
        before = len(messages.sent)
        relay_all(router)
        sweeping.sweep()
        return sum(delivery.deliver(ids) for _, ids in messages.sent[before:])

    return relay_and_deliver


def mapping(record_id: str = "c1", **fields: Any) -> ExternalMapping:
    return ExternalMapping.objects.get(record_id=record_id, **fields)
