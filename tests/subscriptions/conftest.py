"""Fixtures for events: plain SQL from outside Django, watched tables, messages to be sent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any

import psycopg
import pytest
from celery import current_app
from django.db import connection
from pytest_django import Settings

from subscriptions.deliveries import delivery
from subscriptions.models import Event
from subscriptions.relay import relay_all
from subscriptions.routing import Router

Sql = Callable[..., list[tuple[Any, ...]]]
Attach = Callable[..., None]


def connect() -> psycopg.Connection[tuple[Any, ...]]:
    """Open a connection of its own to the test's database, as any other service would."""
    given = connection.settings_dict
    return psycopg.connect(
        host=given["HOST"],
        port=given["PORT"],
        dbname=given["NAME"],
        user=given["USER"],
        password=given["PASSWORD"] or None,
        autocommit=True,
    )


@pytest.fixture
def writer(transactional_db: None) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A writer that knows nothing of Django, in autocommit."""
    with connect() as opened:
        yield opened


@pytest.fixture
def sql(writer: psycopg.Connection[tuple[Any, ...]]) -> Sql:
    """Run one statement as the writer; return its rows, [] if it has none."""

    def run(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        found = writer.execute(statement.encode(), parameters or None)
        return found.fetchall() if found.description else []

    return run


@pytest.fixture
def make_table(sql: Sql) -> Iterator[Callable[..., None]]:
    """Create tables from SQL and drop them after the test."""
    made: list[str] = []

    def make(name: str, columns: str = "id int PRIMARY KEY, company text, status text") -> None:
        made.append(name)
        sql(f"CREATE TABLE {name} ({columns})")

    yield make
    sql("DELETE FROM event_system_subscription")  # a table that somebody listens to is not dropped
    for name in made:
        sql(f"DROP TABLE IF EXISTS {name} CASCADE")


@pytest.fixture(params=["row", "statement"])
def attach(request: pytest.FixtureRequest, sql: Sql) -> Attach:
    """Watch a table by row, and in a second run of the test by statement."""

    def make(table: str, **options: object) -> None:
        given = {"capture": request.param, **options}
        names = "".join(f", {name} => %s" for name in given)
        sql(f"SELECT attach_event_trigger(%s{names})", table, *given.values())

    return make


@pytest.fixture
def orders(make_table: Callable[..., None], sql: Sql) -> str:
    """A watched table: orders(id, company, status)."""
    make_table("orders")
    sql("SELECT attach_event_trigger('orders', company => 'company')")
    return "orders"


@pytest.fixture
def subscribe(sql: Sql) -> Callable[..., int]:
    """Subscribe a company to a table by plain SQL; return the subscription's id."""

    def make(
        company: str | None = "acme",
        table: str = "orders",
        *,
        name: str = "all",
        operations: str = "{INSERT,UPDATE,DELETE}",
        filter: str = "{}",  # noqa: A002 - the column's name
        handler_type: str = "WEBHOOK",
        config: str = '{"url": "https://example.com/hook"}',
    ) -> int:
        [(pk,)] = sql(
            'INSERT INTO event_system_subscription (name, company, "table", operations, filter,'
            " handler_type, config) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id",
            name,
            company,
            table,
            operations,
            filter,
            handler_type,
            config,
        )
        return int(pk)

    return make


def told() -> list[tuple[Any, ...]]:
    """Return what the outbox holds as (company, operation, record_id, new, old), in its order."""
    return list(
        Event.objects.order_by("seq").values_list("company", "operation", "record_id", "new", "old")
    )


def brief() -> list[tuple[Any, ...]]:
    """Return what the outbox holds as (company, operation, record_id), in its order."""
    return [row[:3] for row in told()]


# What watching a table makes: the watch, four functions, the sequence that counts.
PER_TABLE = 6


def traces(sql: Sql) -> list[tuple[Any, ...]]:
    """Return all that is there for the sake of some watched table."""
    return sql(
        "SELECT proname::text FROM pg_proc WHERE proname ~ '^event_system_.*_[0-9a-f]{16}$'"
        " UNION ALL SELECT relname FROM pg_class WHERE relname ~ '^event_system_(skipped|asked)_'"
        ' UNION ALL SELECT "table" FROM event_system_watch'
    )


@dataclass
class Messages:
    """What was handed to Celery, in order; with `refused` set, the broker is away."""

    sent: list[tuple[str, list[int]]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    refused: bool = False

    def send_task(self, name: str, *, args: list[Any], queue: str, **options: Any) -> None:
        if self.refused:
            raise ConnectionRefusedError("the broker is away")
        if name == "subscriptions.deliver":
            self.sent.append((queue, args[0]))
        else:
            self.others.append(name)

    @property
    def ids(self) -> list[int]:
        return [delivery_id for _, chunk in self.sent for delivery_id in chunk]


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """Stand in for the broker: deliveries' messages are kept instead of sent."""
    kept = Messages()
    monkeypatch.setattr(current_app, "send_task", kept.send_task)
    return kept


@pytest.fixture
def relay(messages: Messages) -> Callable[[], list[int]]:
    """Relay all there is; return the ids in the messages since the last call."""
    router = Router()

    def run() -> list[int]:
        before = len(messages.sent)
        relay_all(router)
        return [pk for _, ids in messages.sent[before:] for pk in ids]

    return run


@pytest.fixture
def deliver(relay: Callable[[], list[int]]) -> Callable[[], int]:
    """Relay all there is and deliver it; return how many deliveries were made."""

    def run() -> int:
        return delivery.deliver(relay())

    return run


@pytest.fixture(autouse=True)
def no_private_receivers(settings: Settings) -> None:
    """As in production: webhooks reach public addresses only."""
    settings.WEBHOOK_ALLOWED_NETWORKS = []


@pytest.fixture
def local_receivers(settings: Settings) -> None:
    """Let webhooks reach this machine."""
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
