"""Tables dropped, renamed and altered while watched; the three ways to watch one."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection

from subscriptions import AttachEventTrigger, DetachEventTrigger
from subscriptions.drift import drift, limits
from subscriptions.models import Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import PER_TABLE, Attach, Messages, Sql, brief, traces

pytestmark = pytest.mark.django_db(transaction=True)

MakeTable = Callable[..., None]
Subscribe = Callable[..., int]


@pytest.fixture
def watched(make_table: MakeTable, attach: Attach) -> None:
    """A table orders(id, company, status), watched by row or by statement."""
    make_table("orders")
    attach("orders")


def interest(sql: Sql, table: str) -> list[tuple[Any, ...]]:
    return sql(
        'SELECT operation, company, subscriptions FROM event_system_interest WHERE "table" = %s'
        " ORDER BY 1, 2",
        table,
    )


# Dropped ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["DROP TABLE orders", "DROP TABLE orders CASCADE"])
def test_a_table_that_somebody_listens_to_is_not_dropped(
    statement: str, orders: str, sql: Sql, subscribe: Subscribe
) -> None:
    for number in range(6):
        subscribe(name=f"hook {number}")

    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as refused:
        sql(statement)

    assert "6 active subscriptions listen to it: hook 0 of acme, " in str(refused.value)
    assert "hook 4 of acme, ..." in str(refused.value)
    assert refused.value.diag.message_hint is not None
    assert "SELECT detach_event_trigger('orders')" in refused.value.diag.message_hint
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    assert brief() == [("acme", "INSERT", "1")]


def test_a_dropped_table_that_nobody_listens_to_leaves_nothing(
    watched: None, sql: Sql, subscribe: Subscribe
) -> None:
    subscribe()
    sql("UPDATE event_system_subscription SET active = false")
    before = len(traces(sql))

    sql("DROP TABLE orders")

    assert len(traces(sql)) == before - PER_TABLE


def test_a_schema_is_dropped_with_its_watched_tables(make_table: MakeTable, sql: Sql) -> None:
    before = traces(sql)
    sql("CREATE SCHEMA shop")
    sql("CREATE TABLE shop.orders (id int PRIMARY KEY, company text)")
    sql("SELECT attach_event_trigger('shop.orders')")

    sql("DROP SCHEMA shop CASCADE")

    assert traces(sql) == before


def test_a_migration_detaches_before_it_drops(
    watched: None, sql: Sql, subscribe: Subscribe
) -> None:
    subscribe()
    before = len(traces(sql))

    with connection.schema_editor() as editor:
        DetachEventTrigger("orders").database_forwards("app", editor, None, None)
        editor.execute("DROP TABLE orders")

    assert len(traces(sql)) == before - PER_TABLE
    [told] = [one for one in drift() if one.table == "orders"]
    assert told.problem.startswith("has 1 active subscriptions and is not watched")


def test_a_table_dropped_behind_our_back_is_shown_and_detached(watched: None, sql: Sql) -> None:
    before = len(traces(sql))
    sql("ALTER EVENT TRIGGER event_system_table_dropped DISABLE")
    try:
        assert len(limits()) == 2
        sql("DROP TABLE orders")
    finally:
        sql("ALTER EVENT TRIGGER event_system_table_dropped ENABLE")
    assert len(limits()) == 1
    [told] = [one for one in drift() if one.table == "orders"]
    assert told.problem == "was dropped while watched: SELECT detach_event_trigger('orders')"

    sql("SELECT detach_event_trigger('orders')")

    assert len(traces(sql)) == before - PER_TABLE
    assert drift() == []


def test_detaching_what_never_was_is_no_error(sql: Sql) -> None:
    assert sql("SELECT detach_event_trigger('nowhere')")


def test_a_column_that_another_drop_takes_along_is_kept(make_table: MakeTable, sql: Sql) -> None:
    sql("CREATE TYPE mood AS ENUM ('good')")
    try:
        make_table("orders", "id int PRIMARY KEY, company text, mood mood")
        sql("SELECT attach_event_trigger('orders', exclude => '{mood}')")

        with pytest.raises(psycopg.errors.DependentObjectsStillExist, match=r"orders\.mood"):
            sql("DROP TYPE mood CASCADE")

        sql("ALTER TABLE orders DROP mood")
    finally:
        sql("DROP TYPE mood CASCADE")


# Renamed ------------------------------------------------------------------------------------------


def test_subscriptions_follow_a_renamed_table(
    watched: None, make_table: MakeTable, sql: Sql, subscribe: Subscribe, messages: Messages
) -> None:
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    router = Router()
    relay_all(router)

    make_table("unrelated")
    sql("DROP TABLE unrelated")
    sql("ALTER TABLE orders RENAME TO unrelated")
    sql("UPDATE unrelated SET status = 'y'")
    relay_all(router)

    assert [s.table for s in Subscription.objects.all()] == ["unrelated"]
    assert interest(sql, "orders") == []
    assert [company for _, company, _ in interest(sql, "unrelated")] == ["acme"] * 3
    assert [(row["table"], row["deliveries"]) for row in delivered(sql)] == [
        ("orders", 1),
        ("unrelated", 1),
    ]


def delivered(sql: Sql) -> list[dict[str, Any]]:
    found = sql(
        'SELECT e."table", count(d.id) FROM event_system_event e'
        " LEFT JOIN event_system_delivery d ON d.event_seq = e.seq GROUP BY e.seq, 1 ORDER BY e.seq"
    )
    return [{"table": table, "deliveries": deliveries} for table, deliveries in found]


def test_a_table_is_not_renamed_over_events_that_wait_for_the_relay(
    watched: None, sql: Sql, subscribe: Subscribe, messages: Messages
) -> None:
    subscribe()
    relay_all(Router())
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    with pytest.raises(psycopg.errors.ObjectInUse, match="events that the relay has not read"):
        sql("ALTER TABLE orders RENAME TO others")

    relay_all(Router())
    sql("ALTER TABLE orders RENAME TO others")
    sql("ALTER TABLE others RENAME TO orders")
    assert len(interest(sql, "orders")) == 3


def test_a_renamed_table_is_no_drift_and_its_interceptors_hear_its_name(
    make_table: MakeTable, attach: Attach, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_table("orders")
    make_table("heard", '"table" text')
    sql(
        'CREATE OR REPLACE FUNCTION hear("table" text, operation text, new jsonb, old jsonb)'
        ' RETURNS void LANGUAGE sql AS $$ INSERT INTO heard VALUES ("table") $$'
    )
    attach("orders", interceptors=["hear"])
    capture = sql("SELECT capture FROM event_system_trigger WHERE \"table\" = 'orders'")[0][0]
    declared = {"orders": AttachEventTrigger("orders", interceptors=["hear"], capture=capture)}
    monkeypatch.setattr("subscriptions.drift._declared", lambda: declared)

    sql("ALTER TABLE orders RENAME TO new_orders")
    sql("INSERT INTO new_orders VALUES (1, 'acme', 'x')")

    assert sql("SELECT * FROM heard") == [("new_orders",)]
    assert drift() == []
    sql("DROP TABLE new_orders")


def test_a_schemas_new_name_is_its_tables_new_name(
    sql: Sql, attach: Attach, subscribe: Subscribe
) -> None:
    sql("CREATE SCHEMA shop")
    try:
        sql("CREATE TABLE shop.orders (id int PRIMARY KEY, company text)")
        attach("shop.orders")
        subscribe(table="shop.orders")

        sql("ALTER SCHEMA shop RENAME TO store")
        sql("INSERT INTO store.orders VALUES (1, 'acme')")
        sql("UPDATE store.orders SET id = 2")

        assert sql('SELECT DISTINCT "table" FROM event_system_event') == [("store.orders",)]
        assert len(interest(sql, "store.orders")) == 3
        assert brief()[1:] == [("acme", "DELETE", "1"), ("acme", "INSERT", "2")]
    finally:
        sql("DELETE FROM event_system_subscription")
        sql("DROP SCHEMA IF EXISTS shop CASCADE")
        sql("DROP SCHEMA IF EXISTS store CASCADE")


# Watched in three ways ----------------------------------------------------------------------------

OPTIONS: dict[str, Any] = {
    "company": "tenant",
    "exclude": ["extra"],
    "interceptors": ["allow"],
    "after_interceptors": ["allow"],
}


def by_operation(sql: Sql, *, attach: bool, capture: str) -> None:
    operation = AttachEventTrigger("orders", **OPTIONS, capture=capture)
    with connection.schema_editor() as editor:
        act = operation.database_forwards if attach else operation.database_backwards
        act("app", editor, None, None)


def by_function(sql: Sql, *, attach: bool, capture: str) -> None:
    if attach:
        sql(
            "SELECT attach_event_trigger('orders', ARRAY['allow'], company => 'tenant',"
            " exclude => ARRAY['extra'], after_interceptors => ARRAY['allow'], capture => %s)",
            capture,
        )
    else:
        sql("SELECT detach_event_trigger('orders')")


def by_command(sql: Sql, *, attach: bool, capture: str) -> None:
    if attach:
        call_command(
            "watch", "orders", "--company", "tenant", "--exclude", "extra", "--interceptor",
            "allow", "--after-interceptor", "allow", "--capture", capture, verbosity=0,
        )  # fmt: skip
    else:
        call_command("unwatch", "orders", verbosity=0)


@pytest.mark.parametrize("way", [by_operation, by_function, by_command])
def test_the_three_ways_to_watch_do_the_same_and_let_go_cleanly(
    way: Callable[..., None], make_table: MakeTable, sql: Sql
) -> None:
    make_table("orders", "id int PRIMARY KEY, tenant text, extra text")
    sql(
        'CREATE OR REPLACE FUNCTION allow("table" text, operation text, new jsonb, old jsonb)'
        " RETURNS void LANGUAGE sql AS 'SELECT'"
    )
    before = sorted(traces(sql))

    for capture in ("row", "statement", "always"):
        way(sql, attach=True, capture=capture)

        assert sql(
            "SELECT company, capture, exclude, interceptors, after_interceptors, enabled"
            " FROM event_system_trigger WHERE \"table\" = 'orders'"
        ) == [("tenant", capture, ["extra"], ["allow"], ["allow"], True)]
        assert sql(
            "SELECT tgname::text, tgtype FROM pg_trigger WHERE tgrelid = 'orders'::regclass"
            " AND NOT tgisinternal ORDER BY 1"
        ) == triggers(capture)
        way(sql, attach=False, capture=capture)
        assert sorted(traces(sql)) == before
        assert sql("SELECT FROM pg_trigger WHERE tgrelid = 'orders'::regclass") == []
        sql("INSERT INTO orders SELECT count(*), 'acme', 'x' FROM orders")

    assert brief() == []


def triggers(capture: str) -> list[tuple[str, int]]:
    """Return what pg_trigger says: 1 is FOR EACH ROW, 2 BEFORE, then the operations."""
    row = 0 if capture == "statement" else 1
    return [
        ("event_system_capture_delete", 8 + row),
        ("event_system_capture_insert", 4 + row),
        ("event_system_capture_truncate", 32),
        ("event_system_capture_update", 16 + row),
        ("event_system_interceptors_after", 1 + 4 + 8 + 16),
        ("event_system_interceptors_before", 1 + 2 + 4 + 8 + 16),
    ]


@pytest.mark.parametrize("first", ["row", "statement"])
def test_a_table_changes_from_one_capture_to_the_other(
    first: str, make_table: MakeTable, sql: Sql, subscribe: Subscribe
) -> None:
    make_table("orders")
    before = len(traces(sql))
    other = {"row": "statement", "statement": "row"}[first]
    for capture in (first, other):
        sql("SELECT attach_event_trigger('orders', capture => %s)", capture)
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    assert brief() == [("acme", "INSERT", "1")]
    assert len(traces(sql)) == before + PER_TABLE


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT attach_event_trigger('event_system_event')", "the event system's own"),
        ("SELECT attach_event_trigger('pg_temp.passing')", "is temporary"),
        ("SELECT attach_event_trigger('event_system_trigger')", "is not a table|own"),
    ],
)
def test_what_must_not_be_watched_is_refused(statement: str, says: str, sql: Sql) -> None:
    sql("CREATE TEMP TABLE passing (id int)")

    with pytest.raises(psycopg.errors.WrongObjectType, match=says):
        sql(statement)


# Not captured -------------------------------------------------------------------------------------


def test_a_replica_captures_nothing_and_the_list_says_so(
    watched: None, sql: Sql, subscribe: Subscribe, capsys: pytest.CaptureFixture[str]
) -> None:
    subscribe()

    sql("SET session_replication_role = replica")
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    sql("SET session_replication_role = origin")
    sql("UPDATE orders SET status = 'y'")

    assert brief() == [("acme", "UPDATE", "1")]
    call_command("watched")
    assert "session_replication_role = replica" in capsys.readouterr().out


@pytest.mark.parametrize("operation", ["INSERT", "TRUNCATE"])
def test_truncate_goes_to_subscribers_of_any_company_that_ask_for_it(
    operation: str, watched: None, sql: Sql, subscribe: Subscribe, messages: Messages
) -> None:
    for company in ("a", "b", None):
        subscribe(company, operations=f"{{{operation}}}")

    sql("TRUNCATE orders")
    relay_all(Router())

    expected = 3 if operation == "TRUNCATE" else 0
    assert sql("SELECT count(*) FROM event_system_delivery") == [(expected,)]
