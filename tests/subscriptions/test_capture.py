"""Watched tables, written by plain SQL as any other service would."""

from collections.abc import Callable

import psycopg
import pytest

from tests.subscriptions.conftest import PER_TABLE, Attach, Sql, brief, connect, told, traces

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def orders(make_table: Callable[..., None], attach: Attach) -> str:
    """A watched table: orders(id, company, status)."""
    make_table("orders")
    attach("orders", company="company")
    return "orders"


def row(key: int, company: str | None, status: str) -> dict[str, object]:
    return {"id": key, "company": company, "status": status}


def test_each_operation_tells_the_row_before_and_after(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme', 'new')")
    sql("UPDATE orders SET status = 'sent'")
    sql("DELETE FROM orders")

    assert told() == [
        ("acme", "INSERT", "1", row(1, "acme", "new"), None),
        ("acme", "UPDATE", "1", row(1, "acme", "sent"), row(1, "acme", "new")),
        ("acme", "DELETE", "1", None, row(1, "acme", "sent")),
    ]


def test_nothing_is_recorded_that_nobody_asked_for(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe("acme", operations="{UPDATE}")
    subscribe("other", name="inserts", operations="{INSERT}")

    sql("INSERT INTO orders VALUES (1, 'acme', 'new')")

    assert brief() == []


def test_capture_always_records_for_a_later_replay(
    make_table: Callable[..., None], sql: Sql
) -> None:
    make_table("history")
    sql("SELECT attach_event_trigger('history', capture => 'always')")

    sql("INSERT INTO history VALUES (1, 'acme', 'new')")

    assert brief() == [("acme", "INSERT", "1")]


def test_a_rolled_back_transaction_sends_nothing(
    orders: str,
    writer: psycopg.Connection[tuple[object, ...]],
    sql: Sql,
    subscribe: Callable[..., int],
) -> None:
    subscribe()

    with writer.transaction(force_rollback=True):
        sql("INSERT INTO orders VALUES (1, 'acme', 'new')")
        assert sql("SELECT count(*) FROM event_system_event") == [(1,)]

    assert brief() == []


def test_a_rolled_back_savepoint_sends_nothing_of_its_own(
    orders: str,
    writer: psycopg.Connection[tuple[object, ...]],
    sql: Sql,
    subscribe: Callable[..., int],
) -> None:
    subscribe()

    with writer.transaction():
        sql("INSERT INTO orders VALUES (1, 'acme', 'kept')")
        with writer.transaction(force_rollback=True):
            sql("INSERT INTO orders VALUES (2, 'acme', 'dropped')")
        sql("INSERT INTO orders VALUES (3, 'acme', 'kept')")

    assert brief() == [("acme", "INSERT", "1"), ("acme", "INSERT", "3")]


def test_one_update_over_three_companies_gives_each_its_own_events(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    for company in ("a", "b", "c"):
        subscribe(company, operations="{UPDATE}")
    sql(
        "INSERT INTO orders SELECT n, (ARRAY['a','b','c'])[1 + n % 3], 'x' "
        "FROM generate_series(1, 9) n"
    )

    sql("UPDATE orders SET status = 'y'")

    found = told()
    assert sorted((company, key) for company, _, key, _, _ in found) == sorted(
        ("abc"[n % 3], str(n)) for n in range(1, 10)
    )
    assert all(new["company"] == company for company, _, _, new, _ in found)


def test_a_row_that_moves_is_told_to_both_companies_and_shows_neither_the_other(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe("old")
    subscribe("new")
    sql("INSERT INTO orders VALUES (1, 'old', 'secret of old')")

    sql("UPDATE orders SET company = 'new', status = 'secret of new'")

    assert told()[1:] == [
        ("old", "DELETE", "1", None, row(1, "old", "secret of old")),
        ("new", "INSERT", "1", row(1, "new", "secret of new"), None),
    ]


def test_a_changed_key_is_a_delete_and_an_insert(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe(operations="{INSERT,DELETE}")
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    sql("UPDATE orders SET id = 2")

    assert brief()[1:] == [("acme", "DELETE", "1"), ("acme", "INSERT", "2")]


def test_swapped_keys_delete_nothing(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "id int PRIMARY KEY DEFERRABLE, company text")
    attach("orders")
    subscribe(operations="{DELETE}")
    sql("INSERT INTO orders VALUES (1, 'acme'), (2, 'acme'), (3, 'acme')")

    sql("UPDATE orders SET id = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE 4 END")

    assert brief() == [("acme", "DELETE", "3")]


def test_swapped_keys_of_two_companies_are_told_as_gone_to_each(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "id int PRIMARY KEY DEFERRABLE, company text")
    attach("orders")
    subscribe("a", operations="{DELETE}")
    subscribe("b", operations="{DELETE}")
    sql("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")

    sql("UPDATE orders SET id = 3 - id")

    assert sorted(brief()) == [("a", "DELETE", "1"), ("b", "DELETE", "2")]


def test_an_update_that_changes_nothing_is_no_event(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "id int PRIMARY KEY, company text, document json")
    attach("orders")
    subscribe(operations="{UPDATE}")
    sql("INSERT INTO orders VALUES (1, 'acme', '{\"a\": 1}')")

    sql("UPDATE orders SET document = '{\"a\": 1}'")

    assert brief() == []


def test_excluded_columns_are_not_shown_and_do_not_count_as_a_change(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", 'id int PRIMARY KEY, company text, "search Text" text, status text')
    attach("orders", exclude=["search Text"])
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme', 'words', 'x')")
    sql("UPDATE orders SET \"search Text\" = 'other words'")
    sql("UPDATE orders SET status = 'y'")

    assert told() == [
        ("acme", "INSERT", "1", row(1, "acme", "x"), None),
        ("acme", "UPDATE", "1", row(1, "acme", "y"), row(1, "acme", "x")),
    ]


def test_a_composite_key_is_an_object(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "company text, line int, status text, PRIMARY KEY (line, company)")
    attach("orders")
    subscribe()

    sql("INSERT INTO orders VALUES ('acme', 7, 'x')")
    sql("UPDATE orders SET status = 'y'")

    assert brief() == [
        ("acme", "INSERT", {"line": 7, "company": "acme"}),
        ("acme", "UPDATE", {"line": 7, "company": "acme"}),
    ]


def test_a_table_without_a_key_tells_its_rows(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "company text, status text")
    attach("orders")
    subscribe()

    sql("INSERT INTO orders VALUES ('acme', 'x')")
    sql("UPDATE orders SET status = 'y'")

    assert brief() == [("acme", "INSERT", None), ("acme", "UPDATE", None)]


def test_names_in_mixed_case_work(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table('"salesOrder"', '"orderId" text PRIMARY KEY, "companyId" text')
    attach("salesOrder")
    subscribe(table="salesOrder")

    sql("INSERT INTO \"salesOrder\" VALUES ('so_abc123', 'acme')")

    assert brief() == [("acme", "INSERT", "so_abc123")]
    assert sql(
        "SELECT company, enabled FROM event_system_trigger WHERE \"table\" = 'salesOrder'"
    ) == [("companyId", True)]


@pytest.mark.parametrize("name", ['"it\'s %I {x} $body$"', '"a""b"', '"a.b"'])
def test_hostile_names_are_only_names(
    name: str,
    make_table: Callable[..., None],
    attach: Attach,
    sql: Sql,
    subscribe: Callable[..., int],
) -> None:
    plain = name[1:-1].replace('""', '"')
    make_table(name, '"i\'d" int PRIMARY KEY, company text, "c%s""$capture$" text')
    attach(plain, exclude=['c%s"$capture$'])
    subscribe(table=plain)

    sql(f"INSERT INTO {name} VALUES (1, 'acme', 'x')")  # noqa: S608 - the test's own names

    assert told() == [("acme", "INSERT", "1", {"i'd": 1, "company": "acme"}, None)]


def test_a_table_without_a_company_is_seen_by_the_platform_only(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "id int PRIMARY KEY")
    attach("orders")
    subscribe("acme")
    sql("INSERT INTO orders VALUES (1)")
    assert brief() == []
    subscribe(None)

    sql("INSERT INTO orders VALUES (2)")

    assert brief() == [(None, "INSERT", "2")]


def test_a_row_without_a_company_is_counted_and_not_sent(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe("acme")
    subscribe(None)

    sql("INSERT INTO orders VALUES (1, NULL, 'x'), (2, NULL, 'x')")
    sql("UPDATE orders SET company = 'acme' WHERE id = 1")
    sql("UPDATE orders SET company = NULL WHERE id = 1")

    assert brief() == [("acme", "INSERT", "1"), ("acme", "DELETE", "1")]
    assert sql("SELECT null_company_rows FROM event_system_trigger WHERE \"table\" = 'orders'") == [
        (2,)
    ]


def test_truncate_is_one_event_without_rows(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe(operations="{TRUNCATE}")

    sql("TRUNCATE orders")

    assert told() == [(None, "TRUNCATE", None, None, None)]


def test_upsert_and_merge_tell_what_became_of_each_row(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    sql(
        "INSERT INTO orders VALUES (1, 'acme', 'y'), (2, 'acme', 'y')"
        " ON CONFLICT (id) DO UPDATE SET status = excluded.status"
    )
    sql(
        "MERGE INTO orders USING (VALUES (2), (3)) AS s (id) ON orders.id = s.id"
        " WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'acme', 'z')"
    )

    assert sorted(brief()[1:], key=lambda event: (event[2], event[1])) == [
        ("acme", "UPDATE", "1"),
        ("acme", "DELETE", "2"),
        ("acme", "INSERT", "2"),
        ("acme", "INSERT", "3"),
    ]


def test_virtual_generated_columns_are_left_out(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    if sql("SELECT current_setting('server_version_num')::int < 180000") == [(True,)]:
        pytest.skip("virtual generated columns came with PostgreSQL 18")
    make_table(
        "orders", "id int PRIMARY KEY, company text, twice int GENERATED ALWAYS AS (id * 2) VIRTUAL"
    )
    attach("orders")
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme')")

    assert told() == [("acme", "INSERT", "1", {"id": 1, "company": "acme"}, None)]


def test_columns_may_be_added_altered_and_dropped_while_watched(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', '5')")

    sql("ALTER TABLE orders ADD extra text DEFAULT 'e', ALTER company TYPE varchar(20)")
    sql("ALTER TABLE orders ALTER status TYPE int USING status::int, ALTER id TYPE bigint")
    sql("UPDATE orders SET status = 6")
    sql("ALTER TABLE orders DROP status")
    sql("INSERT INTO orders VALUES (2, 'acme', 'f')")

    assert told()[1:] == [
        (
            "acme",
            "UPDATE",
            "1",
            {"id": 1, "company": "acme", "status": 6, "extra": "e"},
            {"id": 1, "company": "acme", "status": 5, "extra": "e"},
        ),
        ("acme", "INSERT", "2", {"id": 2, "company": "acme", "extra": "f"}, None),
    ]


def test_renamed_columns_are_followed(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "id int PRIMARY KEY, company text, status text, hidden text")
    attach("orders", exclude=["hidden"])
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x', 'h')")

    sql("ALTER TABLE orders RENAME company TO tenant")
    sql("ALTER TABLE orders RENAME id TO number")
    sql("ALTER TABLE orders RENAME hidden TO concealed")
    sql("UPDATE orders SET status = 'y'")
    sql("ALTER TABLE orders DROP concealed")
    sql("DELETE FROM orders")

    assert told()[1:] == [
        (
            "acme",
            "UPDATE",
            "1",
            {"number": 1, "tenant": "acme", "status": "y"},
            {"number": 1, "tenant": "acme", "status": "x"},
        ),
        ("acme", "DELETE", "1", None, {"number": 1, "tenant": "acme", "status": "y"}),
    ]


def test_the_company_column_cannot_be_dropped_while_watched(orders: str, sql: Sql) -> None:
    with pytest.raises(psycopg.Error, match="holds the company"):
        sql("ALTER TABLE orders DROP company")


def test_what_jsonb_would_refuse_does_not_fail_the_writer(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders", "id int PRIMARY KEY, company text, hidden text, document json")
    attach("orders", exclude=["hidden"])
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme', 'x', '{\"a\": \"\\u0000\"}')")

    assert brief() == [("acme", "INSERT", "1")]


def test_an_interceptor_refuses_a_write_before_it_happens(
    make_table: Callable[..., None], attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    make_table("orders")
    sql("""
        CREATE OR REPLACE FUNCTION no_drafts("table" text, operation text, new jsonb, old jsonb)
        RETURNS void LANGUAGE plpgsql AS $$ BEGIN
            IF new ->> 'status' = 'draft' THEN
                RAISE EXCEPTION '% in % refused', operation, "table";
            END IF;
        END $$""")
    attach("orders", interceptors=["no_drafts"])
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    with pytest.raises(psycopg.errors.RaiseException, match="INSERT in orders refused"):
        sql("INSERT INTO orders VALUES (2, 'acme', 'draft')")

    assert brief() == [("acme", "INSERT", "1")]
    sql("DELETE FROM orders")
    assert brief()[1:] == [("acme", "DELETE", "1")]


def test_attaching_again_replaces_and_detaching_leaves_nothing(
    orders: str, attach: Attach, sql: Sql, subscribe: Callable[..., int]
) -> None:
    before = traces(sql)
    subscribe()
    attach("orders", company="status")
    sql("INSERT INTO orders VALUES (1, 'other', 'acme')")
    assert brief() == [("acme", "INSERT", "1")]
    assert len(traces(sql)) == len(before)

    sql("SELECT detach_event_trigger('orders')")
    sql("UPDATE orders SET id = 2")

    assert len(brief()) == 1
    assert len(traces(sql)) == len(before) - PER_TABLE


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("attach_event_trigger('nowhere')", "table: there is no table 'nowhere'"),
        ("attach_event_trigger('orders', company => 'owner')", "no column owner"),
        ("attach_event_trigger('orders', exclude => ARRAY['x', 'id'])", "no column x"),
        ("attach_event_trigger('orders', exclude => ARRAY['id'])", "cannot be left out"),
        (
            "attach_event_trigger('orders', capture => 'all')",
            "capture: 'all' is neither row, statement nor always",
        ),
        ("attach_event_trigger('orders', ARRAY['missing'])", "no function missing"),
    ],
)
def test_a_wrong_attachment_says_what_is_wrong(
    call: str, message: str, orders: str, sql: Sql
) -> None:
    with pytest.raises(psycopg.Error, match=message):
        sql(f"SELECT {call}")


def test_a_writer_without_rights_on_the_outbox_is_captured_too(
    orders: str, sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()
    sql("DROP ROLE IF EXISTS clerk")
    sql("CREATE ROLE clerk")
    try:
        sql("GRANT INSERT ON orders TO clerk")
        with connect() as other:
            other.execute("SET ROLE clerk")
            other.execute("INSERT INTO orders VALUES (1, 'acme', 'x')")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                other.execute("SELECT * FROM event_system_event")
    finally:
        sql("DROP OWNED BY clerk")
        sql("DROP ROLE clerk")

    assert brief() == [("acme", "INSERT", "1")]


def test_correlation_and_depth_travel_with_the_writers_transaction(
    orders: str,
    writer: psycopg.Connection[tuple[object, ...]],
    sql: Sql,
    subscribe: Callable[..., int],
) -> None:
    subscribe()

    with writer.transaction():
        sql("SET LOCAL counterpoint.correlation_id = 'abc'")
        sql("SET LOCAL counterpoint.depth = '3'")
        sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    sql("INSERT INTO orders VALUES (2, 'acme', 'x')")
    sql("SET counterpoint.depth = 'no number'")
    sql("INSERT INTO orders VALUES (3, 'acme', 'x')")

    assert sql("SELECT correlation_id, depth FROM event_system_event ORDER BY seq") == [
        ("abc", 3),
        (None, 0),
        (None, 0),
    ]
