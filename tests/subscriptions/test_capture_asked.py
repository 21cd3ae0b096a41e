"""A table that nobody ever subscribed to costs its writers no call, and no subscriber an event."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.subscriptions.conftest import Sql, brief, connect

pytestmark = pytest.mark.django_db(transaction=True)

MakeTable = Callable[..., None]
Subscribe = Callable[..., int]

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def watched(make_table: MakeTable, sql: Sql) -> None:
    """orders(id, company NOT NULL), watched by row."""
    make_table("orders", "id int PRIMARY KEY, company text NOT NULL")
    sql("SELECT attach_event_trigger('orders')")


@pytest.fixture
def other(watched: None) -> Iterator[Connection]:
    with connect() as opened:
        opened.execute("SET lock_timeout = '5s'")  # rather than wait for the test itself
        yield opened


def calls(sql: Sql, statement: str) -> int:
    """Run a statement and return how many trigger functions of ours it called."""
    plan = sql(f"EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off) {statement}")
    return sum("event_system_capture" in line for (line,) in plan)


def test_no_function_is_called_until_somebody_subscribes(
    watched: None, sql: Sql, subscribe: Subscribe
) -> None:
    writes = [
        "INSERT INTO orders VALUES (1, 'acme'), (2, 'other')",
        "UPDATE orders SET id = id + 10",
        "DELETE FROM orders",
    ]
    assert [calls(sql, statement) for statement in writes] == [0, 0, 0]

    subscribe()

    assert [calls(sql, statement) for statement in writes] == [1, 1, 1]
    assert len(brief()) == 4


def test_a_subscription_counts_in_its_own_transaction_and_for_all_once_it_is_seen(
    watched: None, writer: Connection, other: Connection, sql: Sql, subscribe: Subscribe
) -> None:
    with writer.transaction():
        subscribe()
        sql("INSERT INTO orders VALUES (1, 'acme')")
        other.execute("INSERT INTO orders VALUES (2, 'acme')")  # cannot see it yet
    other.execute("INSERT INTO orders VALUES (3, 'acme')")

    assert brief() == [("acme", "INSERT", "1"), ("acme", "INSERT", "3")]


def test_whoever_comes_after_all_others_left_misses_nothing(
    watched: None, writer: Connection, sql: Sql, subscribe: Subscribe
) -> None:
    with writer.transaction(force_rollback=True):
        subscribe()
    subscribe()
    sql("DELETE FROM event_system_subscription")
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme')")

    assert brief() == [("acme", "INSERT", "1")]


def test_watching_anew_waits_for_an_open_subscription(
    watched: None, writer: Connection, other: Connection, sql: Sql, subscribe: Subscribe
) -> None:
    other.execute("SET lock_timeout = '100ms'")
    with writer.transaction():
        subscribe()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT attach_event_trigger('orders')")

    other.execute("SELECT attach_event_trigger('orders')")
    sql("INSERT INTO orders VALUES (1, 'acme')")

    assert brief() == [("acme", "INSERT", "1")]


def test_a_transaction_that_sees_an_older_watch_does_not_subscribe(
    make_table: MakeTable, writer: Connection, other: Connection, sql: Sql, subscribe: Subscribe
) -> None:
    make_table("plain", "id int PRIMARY KEY")
    sql("SELECT attach_event_trigger('plain')")

    with writer.transaction(force_rollback=True):
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        sql("SELECT count(*) FROM event_system_interest")
        other.execute("SELECT attach_event_trigger('plain')")
        with pytest.raises(psycopg.errors.SerializationFailure):
            subscribe(None, table="plain")


def test_attaching_with_an_older_snapshot_takes_interest_for_granted(
    watched: None, writer: Connection, other: Connection, sql: Sql, subscribe: Subscribe
) -> None:
    with writer.transaction():
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        sql("SELECT count(*) FROM event_system_interest")
        other.execute(
            'INSERT INTO event_system_subscription (name, company, "table", handler_type)'
            " VALUES ('n', 'acme', 'orders', 'WEBHOOK')"
        )
        sql("SELECT attach_event_trigger('orders')")

    sql("INSERT INTO orders VALUES (1, 'acme')")

    assert brief() == [("acme", "INSERT", "1")]


@pytest.mark.parametrize(
    "harm",
    [
        "REVOKE ALL ON SEQUENCE {asked} FROM PUBLIC, clerk",
        "ALTER SEQUENCE {asked} RESTART",  # as after a restore of the schema alone
    ],
)
def test_what_cannot_be_read_counts_as_asked(
    harm: str, watched: None, other: Connection, sql: Sql
) -> None:
    if sql("SELECT current_setting('server_version_num')::int < 170000") == [(True,)]:
        pytest.skip("before PostgreSQL 17 it is an error to ask without rights")
    sql("DROP ROLE IF EXISTS clerk")
    sql("CREATE ROLE clerk")
    try:
        sql("GRANT INSERT ON orders TO clerk")
        [(asked,)] = sql(
            "SELECT relname FROM pg_class WHERE relname LIKE 'event\\_system\\_asked%'"
            " AND pg_sequence_last_value(oid) = 1 ORDER BY oid DESC LIMIT 1"
        )
        sql(harm.format(asked=asked))
        other.execute("SET ROLE clerk")

        plan = other.execute("EXPLAIN (ANALYZE) INSERT INTO orders VALUES (1, 'acme')").fetchall()
    finally:
        sql("DROP OWNED BY clerk")
        sql("DROP ROLE clerk")

    assert "event_system_capture_insert" in str(plan)


def test_rows_without_a_company_are_counted_once_there_may_be_any(watched: None, sql: Sql) -> None:
    sql("ALTER TABLE orders ALTER company DROP NOT NULL")

    sql("INSERT INTO orders VALUES (1, NULL)")

    assert sql("SELECT null_company_rows FROM event_system_trigger WHERE \"table\" = 'orders'") == [
        (1,)
    ]


def test_partitions_ask_as_their_parent_does(
    make_table: MakeTable, sql: Sql, subscribe: Subscribe
) -> None:
    sql("CREATE TABLE orders (id int PRIMARY KEY, company text NOT NULL) PARTITION BY RANGE (id)")
    try:
        sql("CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (10)")
        sql("SELECT attach_event_trigger('orders')")
        sql("CREATE TABLE orders_high PARTITION OF orders FOR VALUES FROM (10) TO (20)")
        both = "INSERT INTO orders VALUES ({n}, 'acme'), (1{n}, 'acme')"
        assert calls(sql, both.format(n=1)) == 0
        subscribe()

        assert calls(sql, both.format(n=2)) == 2
        assert brief() == [("acme", "INSERT", "2"), ("acme", "INSERT", "12")]
    finally:
        sql("DELETE FROM event_system_subscription")
        sql("DROP TABLE orders")


def test_every_event_is_kept_where_it_is_captured_always(make_table: MakeTable, sql: Sql) -> None:
    make_table("orders", "id int PRIMARY KEY, company text NOT NULL")
    sql("SELECT attach_event_trigger('orders')")
    sql("SELECT attach_event_trigger('orders', capture => 'always')")

    sql("INSERT INTO orders VALUES (1, 'acme')")

    assert brief() == [("acme", "INSERT", "1")]


def test_subscriptions_made_before_a_table_is_watched_again_count(
    watched: None, sql: Sql, subscribe: Subscribe
) -> None:
    subscribe()
    sql("SELECT detach_event_trigger('orders')")
    sql("SELECT attach_event_trigger('orders')")

    sql("INSERT INTO orders VALUES (1, 'acme')")

    assert brief() == [("acme", "INSERT", "1")]


def test_a_watch_whose_triggers_were_dropped_by_hand_is_let_go(watched: None, sql: Sql) -> None:
    sql("UPDATE event_system_watch SET suffix = NULL WHERE \"table\" = 'orders'")

    sql("SELECT detach_event_trigger('orders')")

    assert sql("SELECT FROM event_system_watch WHERE \"table\" = 'orders'") == []
