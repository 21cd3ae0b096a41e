"""What the demo does: plain SQL writes by three companies, and the waiting for what follows."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from counterpoint.demo.receiver import Receiver
from jobs.models import Run
from subscriptions.models import Subscription
from subscriptions.services import create_subscription

PATIENCE_SECONDS = 90.0
POLL_SECONDS = 0.02
PATH = "/restock"
ITEMS = [
    {"product_id": "bolt-m8", "quantity": 500, "unit_cost": 12},
    {"product_id": "nut-m8", "quantity": 500, "unit_cost": 7},
]


class DemoTimeout(Exception):
    """Something did not happen in time; the text says what."""


@dataclass
class Write:
    """One SQL commit: the row's id and the Unix time at which COMMIT returned."""

    request_id: int
    committed_at: float


@dataclass
class Story:
    """What was written, to be held against what came of it."""

    company: str
    bystander: str
    good: Write
    refused: Write
    rolled_back_id: int
    webhook: Subscription
    workflow: Subscription
    runs: list[Run] = field(default_factory=list)


def subscribe(receiver: Receiver, company: str) -> tuple[Subscription, Subscription]:
    """Make the two subscriptions: a signed webhook, and the workflow with the row as its input."""
    webhook = create_subscription(
        name="tell-the-shop",
        company=company,
        table="restock_request",
        operations=["INSERT"],
        handler_type="WEBHOOK",
        config={"url": receiver.url + PATH},
    )
    workflow = create_subscription(
        name="order-stock",
        company=company,
        table="restock_request",
        operations=["INSERT"],
        handler_type="WORKFLOW",
        config={"workflow": "restock/create"},
    )
    return webhook, workflow


def tell(database_url: str, receiver: Receiver) -> Story:
    """Write with plain SQL, as any service on the database would, and wait for the runs' ends."""
    company = f"acme-{uuid.uuid4().hex[:6]}"  # a repeated demo sees its own rows only
    bystander = f"umbrella-{uuid.uuid4().hex[:6]}"
    webhook, workflow = subscribe(receiver, company)
    webhook.refresh_from_db()
    receiver.secrets[PATH] = str(webhook.secret)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO restock_supplier (id, name, email, accepts_orders)"
            " VALUES ('fast-bolts', 'Fast Bolts', '', true), ('sold-out', 'Sold Out', '', false)"
            " ON CONFLICT (id) DO NOTHING"
        )
        connection.commit()
        rolled_back_id = _insert(connection, company, "fast-bolts")
        connection.rollback()
        _commit(connection, _insert(connection, bystander, "fast-bolts"))
        good = _commit(connection, _insert(connection, company, "fast-bolts"))
        refused = _commit(connection, _insert(connection, company, "sold-out"))
    story = Story(company, bystander, good, refused, rolled_back_id, webhook, workflow)
    wait_for(lambda: len(_ended(company)) == 2, "both runs of restock/create to end")
    wait_for(lambda: len(receiver.arrivals) >= 2, "two webhooks to arrive")
    story.runs = _ended(company)
    return story


def _ended(company: str) -> list[Run]:
    return list(
        Run.objects.filter(company=company, finished_at__isnull=False).order_by("created_at")
    )


def _insert(connection: psycopg.Connection[Any], company: str, supplier: str) -> int:
    row = connection.execute(
        "INSERT INTO restock_request (company, supplier_id, items) VALUES (%s, %s, %s)"
        " RETURNING id",
        [company, supplier, json.dumps(ITEMS)],
    ).fetchone()
    if row is None:  # RETURNING gives a row; said for the type checker
        raise LookupError("INSERT returned no row")
    return int(row[0])


def _commit(connection: psycopg.Connection[Any], request_id: int) -> Write:
    connection.commit()
    return Write(request_id, time.time())


def wait_for(happened: Callable[[], bool], what: str) -> None:
    """Poll until it happened; raise DemoTimeout naming it after the demo's patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise DemoTimeout(f"waited {PATIENCE_SECONDS:g} s for {what}")
        time.sleep(POLL_SECONDS)
