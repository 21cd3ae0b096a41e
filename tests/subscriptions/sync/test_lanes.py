"""Syncs in a worker process: beside one another, and never in one another's way."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from pytest_httpserver import HTTPServer

from subscriptions.deliveries.courier import Courier
from subscriptions.models import Delivery, ExternalConnection, ExternalMapping
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql
from tests.subscriptions.sync.fakes import FakeXero
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def httpserver() -> Iterator[HTTPServer]:
    """Providers that answer several requests at once."""
    server = HTTPServer(threaded=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def courier() -> Iterator[Courier]:
    made = Courier()
    yield made
    made.close()


def delivered(company: str) -> int:
    return Delivery.objects.filter(company=company, status="delivered").count()


def test_a_provider_that_does_not_answer_holds_up_no_other_company(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    customers: str,
    subscribe: Callable[..., int],
    messages: Messages,
    courier: Courier,
    sql: Sql,
) -> None:
    xero.tokens.go.clear()  # globex needs a token, and waits for it
    connected("globex", tenant_id="stuck", expires_in=timedelta(seconds=1))
    connected("acme", tenant_id="well")
    for company in ("acme", "globex"):
        subscribe(company, customers, handler_type="SYNC", config='{"provider": "xero"}')
    sql(
        "INSERT INTO customer (id, company, name) SELECT c || n, c, c || n"
        " FROM generate_series(1, 5) AS n, unnest('{acme,globex}'::text[]) AS c"
    )
    relay_all(Router())

    courier.dispatch(messages.ids)

    wait_until(lambda: delivered("acme") == 5, what="acme's customers are pushed")
    assert delivered("globex") == 0
    xero.tokens.go.set()
    wait_until(lambda: delivered("globex") == 5, what="globex' are pushed, too")
    assert xero.tokens.refreshes == 1
    assert len(xero.contacts) == ExternalMapping.objects.filter(status="synced").count() == 10
    # Of the tests, of the writer, of the recorder: threads keep none.
    wait_until(
        lambda: (
            sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")[0][0]
            <= 3
        ),
        what="the threads' connections are closed",
    )
