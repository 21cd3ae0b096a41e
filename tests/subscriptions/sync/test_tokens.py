"""Tokens: renewed once however many workers need it, and never told to anybody."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection, connections

from subscriptions.handlers.sync.errors import NotConnected, Unavailable
from subscriptions.handlers.sync.tokens import access_token
from subscriptions.handlers.sync.xero import Xero
from subscriptions.models import Delivery, DeliveryAttempt, ExternalConnection
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.conftest import mapping
from tests.subscriptions.sync.fakes import FakeXero
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Connected = Callable[..., ExternalConnection]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def waiting_for_locks() -> int:
    with connection.cursor() as cursor:
        cursor.execute(WAITING)
        return int(cursor.fetchone()[0])


def test_two_workers_at_once_refresh_once(xero: FakeXero, connected: Connected) -> None:
    row = connected(expires_in=timedelta(seconds=1))
    xero.tokens.go.clear()

    def fetch() -> str:
        try:
            return access_token(row.pk, Xero())
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(fetch) for _ in range(2)]
        assert xero.tokens.entered.wait(10)
        wait_until(waiting_for_locks, what="the second worker waits for the first", seconds=10)
        xero.tokens.go.set()
        assert [future.result() for future in found] == ["access-1", "access-1"]

    assert xero.tokens.refreshes == 1
    stored = ExternalConnection.objects.get()
    assert (stored.access_token, stored.refresh_token) == ("access-1", "refresh-1")


def test_a_refused_token_is_renewed_once_by_two_workers(
    xero: FakeXero, connected: Connected
) -> None:
    row = connected()
    started = threading.Barrier(2)

    def renew() -> str:
        try:
            started.wait(10)
            return access_token(row.pk, Xero(), refused="access-0")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(renew) for _ in range(2)]
        assert [future.result() for future in found] == ["access-1", "access-1"]

    assert xero.tokens.refreshes == 1


def test_a_token_refused_by_the_api_is_renewed_and_the_call_repeated(
    xero: FakeXero,
    connected: Connected,
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
) -> None:
    connected(access_token="revoked-early")
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    add()

    assert run() == 1

    assert len(xero.contacts) == 1
    assert xero.tokens.refreshes == 1


def test_a_revoked_grant_breaks_the_connection_and_says_who_must_act(
    xero: FakeXero,
    connected: Connected,
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
) -> None:
    connected(refresh_token="long-gone", access_token="")
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    add("c1")
    add("c2")

    assert run() == 0

    row = ExternalConnection.objects.get()
    assert (row.status, row.error) == ("broken", "invalid_grant")
    errors = set(Delivery.objects.values_list("error", flat=True))
    assert len(errors) == 1
    assert "Xero no longer gives company 'acme' access (invalid_grant)" in errors.pop()
    assert xero.calls == []
    connected(refresh_token="refresh-0", access_token="")
    assert access_token(row.pk, Xero()) == "access-1"


def test_an_endpoint_that_knows_not_the_app_breaks_no_connection(
    xero: FakeXero, connected: Connected
) -> None:
    row = connected(access_token="")
    xero.tokens.client = "another:app"

    with pytest.raises(Unavailable, match=r"token endpoint answered HTTP 400 \(invalid_client\)"):
        access_token(row.pk, Xero())

    row.refresh_from_db()
    assert row.status == "active"


def test_tokens_of_another_key_break_no_connection(
    xero: FakeXero, connected: Connected, sql: Sql
) -> None:
    row = connected()
    sealed = Fernet(Fernet.generate_key()).encrypt(b"whatever").decode()
    sql("UPDATE event_system_connection SET access_token = %s, refresh_token = %s", sealed, sealed)

    with pytest.raises(Unavailable, match="SECRET_KEY and SALT_KEY"):
        access_token(row.pk, Xero())

    row.refresh_from_db()
    assert row.status == "active"
    assert not xero.tokens.entered.is_set()


def test_a_removed_connection_is_said_to_be(connected: Connected) -> None:
    row = connected()
    pk = row.pk
    row.delete()

    with pytest.raises(NotConnected, match="was removed"):
        access_token(pk, Xero())


def test_tokens_are_encrypted_at_rest_and_in_no_row_or_log(
    xero: FakeXero,
    connected: Connected,
    customers: str,
    subscribe: Callable[..., int],
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
    capsys: pytest.CaptureFixture[str],
) -> None:
    connected(access_token="very-secret-a", refresh_token="very-secret-r")
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    add()

    run()

    [(access, refresh)] = sql("SELECT access_token, refresh_token FROM event_system_connection")
    assert access.startswith("gAAAA")
    assert refresh.startswith("gAAAA")
    told = [
        *Delivery.objects.values_list("error", flat=True),
        *DeliveryAttempt.objects.values_list("error", flat=True),
        *DeliveryAttempt.objects.values_list("response", flat=True),
        mapping().last_error,
        "".join(capsys.readouterr()),
        repr(ExternalConnection.objects.get()),
    ]
    assert "very-secret" not in "".join(told)


def test_the_command_takes_tokens_from_standard_input(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = '{"refresh_token": "r1", "access_token": "a1", "expires_in": 1800}'
    monkeypatch.setattr("sys.stdin", StringIO(given))
    out = StringIO()

    call_command("connect_provider", "xero", company="acme", tenant="t-1", stdout=out)

    row = ExternalConnection.objects.get()
    assert (row.company, row.tenant_id, row.refresh_token) == ("acme", "t-1", "r1")
    assert row.access_token == "a1"
    assert out.getvalue() == "connected: xero of acme\n"
    monkeypatch.setattr("sys.stdin", StringIO("r2\n"))
    call_command("connect_provider", "xero", company="acme", tenant="t-1", stdout=out)
    row.refresh_from_db()
    assert (row.refresh_token, row.access_token) == ("r2", None)


@pytest.mark.parametrize("text", ["{}", '{"refresh_token": "very-secret", "expires_in": "x"}', "{"])
def test_the_command_refuses_what_it_cannot_read_without_repeating_it(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(text))

    with pytest.raises(CommandError, match="standard input is not") as refusal:
        call_command("connect_provider", "xero", company="acme", tenant="t-1")

    assert "very-secret" not in str(refusal.value)
