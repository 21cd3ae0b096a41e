"""Watched tables that hang together: foreign keys, partitions, several statements in one."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.subscriptions.conftest import Attach, Sql, brief, told

pytestmark = pytest.mark.django_db(transaction=True)

MakeTable = Callable[..., None]
Subscribe = Callable[..., int]


@pytest.fixture
def items(
    make_table: MakeTable, attach: Attach, sql: Sql, subscribe: Subscribe
) -> Callable[..., None]:
    """Make items that refer to orders in the way given, watch them, and put two below order 1."""

    def make(reference: str) -> None:
        make_table("orders", "id int PRIMARY KEY, company text")
        make_table(
            "items", f"id int PRIMARY KEY, company text, o int REFERENCES orders {reference}"
        )
        attach("items")
        sql("INSERT INTO orders VALUES (1, 'acme')")
        sql("INSERT INTO items VALUES (10, 'acme', 1), (11, 'acme', 1)")
        subscribe(table="items")

    return make


@pytest.mark.parametrize(
    ("reference", "statement", "operation", "left"),
    [
        ("ON DELETE CASCADE", "DELETE FROM orders", "DELETE", None),
        ("ON DELETE SET NULL", "DELETE FROM orders", "UPDATE", None),
        ("ON UPDATE CASCADE", "UPDATE orders SET id = 2", "UPDATE", 2),
    ],
)
def test_a_foreign_keys_cascade_is_told(
    reference: str,
    statement: str,
    operation: str,
    left: int | None,
    items: Callable[..., None],
    sql: Sql,
) -> None:
    items(reference)

    sql(statement)

    assert sorted(brief()) == [("acme", operation, "10"), ("acme", operation, "11")]
    assert {old["o"] for *_, old in told()} == {1}
    assert {new and new["o"] for *_, new, _ in told()} == {left}


def test_a_statement_with_several_in_it_tells_what_each_did(
    make_table: MakeTable, attach: Attach, sql: Sql, subscribe: Subscribe
) -> None:
    make_table("orders")
    attach("orders")
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x'), (2, 'acme', 'x'), (3, 'acme', 'x')")

    sql(
        "WITH sent AS (UPDATE orders SET status = 'sent' WHERE id = 1),"
        " paid AS (UPDATE orders SET status = 'paid' WHERE id = 2 RETURNING id),"
        " gone AS (DELETE FROM orders WHERE id = 3 RETURNING *)"
        " INSERT INTO orders SELECT id, company, 'again' FROM gone"
    )

    found = [(operation, key) for _, operation, key in brief()[3:]]
    assert sorted(found) == [("DELETE", "3"), ("INSERT", "3"), ("UPDATE", "1"), ("UPDATE", "2")]
    assert found.index(("DELETE", "3")) < found.index(("INSERT", "3"))
    changed = {(key, new["status"]) for _, what, key, new, _ in told() if what == "UPDATE"}
    assert changed == {("1", "sent"), ("2", "paid")}


def test_copied_rows_are_told(
    make_table: MakeTable,
    attach: Attach,
    writer: psycopg.Connection[tuple[Any, ...]],
    subscribe: Subscribe,
) -> None:
    make_table("orders")
    attach("orders")
    subscribe()

    with writer.cursor().copy("COPY orders FROM STDIN") as copy:
        for number in range(3):
            copy.write_row((number, "acme" if number else "other", "x"))

    assert brief() == [("acme", "INSERT", "1"), ("acme", "INSERT", "2")]


def test_a_large_statement_after_a_small_one_is_not_paired_row_by_row(
    make_table: MakeTable, attach: Attach, sql: Sql, subscribe: Subscribe
) -> None:
    make_table("orders")
    attach("orders")
    subscribe()
    sql("SET statement_timeout = '30s'")  # with a nested loop it takes minutes
    sql("INSERT INTO orders VALUES (0, 'acme', 'x')")
    sql("UPDATE orders SET status = 'y'")
    sql("INSERT INTO orders SELECT n, 'other', 'x' FROM generate_series(1, 19999) n")

    sql("UPDATE orders SET status = 'z'")

    assert len(brief()) == 3


# Partitions --------------------------------------------------------------------------------------


@pytest.fixture
def partitioned(sql: Sql) -> Iterator[None]:
    """orders(id, company), partitioned by id: below 10 and below 20."""
    sql("CREATE TABLE orders (id int, company text, PRIMARY KEY (id)) PARTITION BY RANGE (id)")
    sql("CREATE TABLE orders_low PARTITION OF orders FOR VALUES FROM (0) TO (10)")
    yield
    sql("DELETE FROM event_system_subscription")
    sql("DROP TABLE orders")


def test_partitions_are_named_by_their_parent(
    partitioned: None, sql: Sql, subscribe: Subscribe
) -> None:
    sql("SELECT attach_event_trigger('orders')")
    sql("CREATE TABLE orders_high PARTITION OF orders FOR VALUES FROM (10) TO (20)")
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme')")
    sql("INSERT INTO orders_high VALUES (11, 'acme')")
    sql("UPDATE orders_high SET company = 'other'")

    assert {table for (table,) in sql('SELECT "table" FROM event_system_event')} == {"orders"}
    assert brief() == [
        ("acme", "INSERT", "1"),
        ("acme", "INSERT", "11"),
        ("acme", "DELETE", "11"),
    ]


def test_a_row_that_moves_between_partitions_is_a_delete_and_an_insert_of_one_transaction(
    partitioned: None, sql: Sql, subscribe: Subscribe
) -> None:
    sql("CREATE TABLE orders_high PARTITION OF orders FOR VALUES FROM (10) TO (20)")
    sql("SELECT attach_event_trigger('orders')")
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme')")

    sql("UPDATE orders SET id = 12 WHERE id = 1")

    assert brief()[1:] == [("acme", "DELETE", "1"), ("acme", "INSERT", "12")]
    assert sql("SELECT count(DISTINCT xid) FROM event_system_event WHERE seq > (SELECT min(seq)"
               " FROM event_system_event)") == [(1,)]  # fmt: skip


def test_a_partitioned_table_is_watched_by_row_and_as_a_whole(partitioned: None, sql: Sql) -> None:
    with pytest.raises(psycopg.errors.WrongObjectType, match="would miss writes to partitions"):
        sql("SELECT attach_event_trigger('orders', capture => 'statement')")
    with pytest.raises(psycopg.errors.WrongObjectType, match="orders_low is a partition"):
        sql("SELECT attach_event_trigger('orders_low')")


def test_inheriting_tables_are_not_watched_by_statement(make_table: MakeTable, sql: Sql) -> None:
    make_table("orders")
    make_table("old_orders", "LIKE orders")
    sql("ALTER TABLE old_orders INHERIT orders")

    for table in ("orders", "old_orders"):
        with pytest.raises(psycopg.errors.WrongObjectType, match="inheriting tables"):
            sql("SELECT attach_event_trigger(%s, capture => 'statement')", table)


# Row beside statement ----------------------------------------------------------------------------

COLUMNS = "id int {key}, company text, status text, note text"


def statements(seed: int, *, has_key: bool) -> Iterator[str]:
    """Yield writes to {table} that touch many rows, companies and keys at once."""
    draw = random.Random(seed)  # noqa: S311 - to be repeated, not secret
    company = "(ARRAY['a', 'b', NULL])[1 + (id + {n}) % 3]"
    kinds = [
        "SET status = status || '{n}' WHERE id % 3 <> {n} % 3",
        "SET status = status",
        "SET note = '{n}' WHERE id % 2 = 0",
        f"SET company = {company} WHERE id % 4 = {{n}} % 4",
        "SET id = id + 100000 WHERE id % 5 = {n} % 5",
        f"SET id = (SELECT max(id) FROM {{table}}) - id, company = {company}",  # noqa: S608 - ours
    ]
    for _ in range(20):
        yield (
            "INSERT INTO {table} SELECT id, (ARRAY['a', 'b', NULL])[1 + id % 3], 'new', 'x' FROM ("  # noqa: S608 - ours
            "SELECT (SELECT COALESCE(max(id), 9980) FROM {table}) + g AS id"
            f" FROM generate_series(1, {draw.randint(1, 9)}) AS g) AS made"
        )
        yield "UPDATE {table} " + draw.choice(kinds).replace("{n}", str(draw.randint(0, 99)))
    yield "DELETE FROM {table} WHERE id % 7 = 0"
    if has_key:
        yield (
            "MERGE INTO {table} AS t USING (SELECT generate_series(9990, 10010) AS id) AS s"
            " ON t.id = s.id WHEN MATCHED AND t.id % 2 = 0 THEN DELETE"
            " WHEN MATCHED THEN UPDATE SET status = 'merged'"
            " WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'a', 'merged', 'x')"
        )


@pytest.mark.parametrize("key", ["PRIMARY KEY DEFERRABLE", ""])
@pytest.mark.parametrize("seed", range(2))
def test_capture_by_statement_tells_what_capture_by_row_tells(
    seed: int, key: str, make_table: MakeTable, sql: Sql, subscribe: Subscribe
) -> None:
    for table, capture in (("by_row", "row"), ("by_statement", "statement")):
        make_table(table, COLUMNS.format(key=key))
        sql("SELECT attach_event_trigger(%s, capture => %s, exclude => '{note}')", table, capture)
        subscribe("a", table=table, name=table)
        subscribe("b", table=table, name=table, operations="{INSERT}")

    for statement in statements(seed, has_key=bool(key)):
        for table in ("by_row", "by_statement"):
            sql(statement.format(table=table))

    by_row, by_statement = (
        sql(
            "SELECT company, operation, record_id, new::jsonb, old::jsonb"
            ' FROM event_system_event WHERE "table" = %s ORDER BY 3, 1, 2, 4, 5',
            table,
        )
        for table in ("by_row", "by_statement")
    )
    assert by_statement == by_row
    assert len(by_row) > 50
    assert len({(company, operation) for company, operation, *_ in by_row}) == 4
    counted = sql("SELECT null_company_rows FROM event_system_trigger WHERE \"table\" LIKE 'by%'")
    assert counted[0] == counted[1] != (0,)
