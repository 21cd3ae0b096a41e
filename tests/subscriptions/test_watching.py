"""Watching tables by command, and the drift between what is declared and what is installed."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from subscriptions import drift as drifting
from subscriptions import watching
from subscriptions.capture.operations import AttachEventTrigger, DetachEventTrigger
from subscriptions.models import Event
from tests.subscriptions.conftest import Sql

pytestmark = pytest.mark.django_db(transaction=True)


def manage(*arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_a_table_is_watched_and_let_go_by_command(
    make_table: Callable[..., None], sql: Sql
) -> None:
    make_table("orders")

    manage("watch", "orders", "--exclude", "status", "--capture", "always")
    sql("INSERT INTO orders VALUES (1, 'acme', 'open')")

    assert Event.objects.get().new == {"id": 1, "company": "acme"}
    [found] = [one for one in watching.watched() if one.table == "orders"]
    assert (found.company, found.capture, found.exclude, found.enabled) == (
        "company",
        "always",
        ["status"],
        True,
    )
    assert manage("unwatch", "orders")[0] == "stopped watching orders\n"
    assert manage("unwatch", "orders")[0] == "orders is not watched\n"
    sql("INSERT INTO orders VALUES (2, 'acme', 'open')")
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "there is no table 'nowhere'"),
        (["orders", "--company", "tenant"], "tenant"),
        (["orders", "--exclude", "colour"], "colour"),
        (["orders", "--capture", "often"], "often"),
        (["orders", "--interceptor", "missing"], "missing"),
    ],
)
def test_a_table_that_cannot_be_watched_so_is_refused(
    make_table: Callable[..., None], arguments: list[str], says: str
) -> None:
    make_table("orders")

    with pytest.raises(CommandError, match=says):
        manage("watch", *arguments)

    assert not [one for one in watching.watched() if one.table == "orders"]


@pytest.fixture
def declare(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Declare tables as migrations that were applied would."""
    found: dict[str, AttachEventTrigger] = {}
    monkeypatch.setattr(drifting, "_declared", lambda: found)

    def make(table: str, **options: Any) -> None:
        found[table] = AttachEventTrigger(table, **options)

    return make


def test_the_list_shows_each_table_and_who_listens(
    orders: str, sql: Sql, subscribe: Callable[..., int], declare: Callable[..., None]
) -> None:
    subscribe("acme")
    subscribe("other")
    sql("INSERT INTO orders VALUES (1, NULL, 'open')")

    shown, _ = manage("watched")

    [line] = [line for line in shown.splitlines() if " orders " in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "orders", "company", "row", "2", "1 without a company", "",
    ]  # fmt: skip


def test_a_table_as_declared_has_no_drift(orders: str, declare: Callable[..., None]) -> None:
    declare("orders", company="company")

    assert drifting.drift() == []
    assert manage("watched")[1] == ""


def test_drift_names_each_difference_and_ends_with_code_1(
    orders: str, declare: Callable[..., None], sql: Sql, capsys: pytest.CaptureFixture[str]
) -> None:
    declare("orders", company="", exclude=["status"], capture="always")
    declare("invoices")
    sql("ALTER TABLE orders DISABLE TRIGGER ALL")

    err = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("watched", stdout=StringIO(), stderr=err)

    assert ended.value.code == 1
    assert [line.split(" ")[0:2] for line in err.getvalue().splitlines()] == [
        ["invoices:", "is"],
        ["orders:", "capture"],
        ["orders:", "exclude"],
        ["orders:", "company"],
        ["orders:", "its"],
    ]


def test_the_shipped_migrations_are_read() -> None:
    assert drifting._declared()["restock_request"].company == "company"


def test_a_table_that_a_later_migration_detaches_is_declared_no_more() -> None:
    found: dict[str, AttachEventTrigger] = {}

    drifting._follow(
        [AttachEventTrigger("a"), AttachEventTrigger("b"), DetachEventTrigger("a")], found
    )
    drifting._follow([AttachEventTrigger("b", capture="statement")], found)

    assert {table: operation.capture for table, operation in found.items()} == {"b": "statement"}


def test_what_detaches_attaches_again_when_reversed(
    make_table: Callable[..., None], sql: Sql
) -> None:
    make_table("orders")
    sql("SELECT attach_event_trigger('orders', capture => 'statement')")
    operation = DetachEventTrigger("orders", capture="statement")

    with connection.schema_editor() as editor:
        operation.database_forwards("app", editor, None, None)
    assert [one for one in watching.watched() if one.table == "orders"] == []
    with connection.schema_editor() as editor:
        operation.database_backwards("app", editor, None, None)

    [found] = [one for one in watching.watched() if one.table == "orders"]
    assert (found.capture, found.enabled) == ("statement", True)
