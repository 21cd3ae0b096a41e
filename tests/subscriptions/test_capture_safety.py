"""A writer who sets a hostile search_path makes none of our functions run theirs."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.subscriptions.conftest import Attach, Sql, brief, connect

pytestmark = pytest.mark.django_db(transaction=True)

# fmt: off
OPERATORS = ["=", "<>", "<", ">", "<=", ">=", "~", "~*", "!~~", "~~", "||", "+", "-", "*<>", "@>",
             "&", "&&"]
TYPES = ["text", "integer", "bigint", "smallint", "oid", "name", "jsonb", "text[]", "xid8",
         "orders"]
TABLES = ["event_system_event", "event_system_interest", "event_system_watch",
          "event_system_subscription", "event_system_revision", "event_system_relay_cursor",
          "pg_class", "pg_attribute", "pg_trigger"]
# fmt: on
# (name, arguments, result): what the functions call; these arguments fit no worse than theirs.
FUNCTIONS = [
    ("row_to_json", "public.orders", "json"),
    ("to_jsonb", "text", "jsonb"),
    ("to_jsonb", "public.orders", "jsonb"),
    ("nextval", "regclass", "bigint"),
    ("clock_timestamp", "", "timestamptz"),
    ("current_setting", "text, boolean", "text"),
    ("pg_current_xact_id", "", "xid8"),
    ("uuidv7", "", "uuid"),
    ("event_system_uuidv7", "", "uuid"),
    ("hashtextextended", "text, bigint", "bigint"),
    ("array_to_string", "text[], text", "text"),
    ("array_ndims", "text[]", "integer"),
    ("array_append", "text[], text", "text[]"),
    ("array_remove", "text[], text", "text[]"),
    ("cardinality", "text[]", "integer"),
    ("quote_literal", "text", "text"),
    ("format", "text, text", "text"),
    ("jsonb_typeof", "jsonb", "text"),
    ("octet_length", "text", "integer"),
    ("length", "text", "integer"),
    ("lower", "text", "text"),
    ("md5", "text", "text"),
    ("to_regclass", "text", "regclass"),
    ("pg_advisory_xact_lock", "integer, integer", "void"),
    ("pg_has_role", "oid, text", "boolean"),
    ("event_system_table_name", "regclass", "text"),
    ("event_system_wanted", "text, text, text, text", "text"),
]


@pytest.fixture
def watched(make_table: Callable[..., None], attach: Attach, sql: Sql) -> None:
    """orders(id, company, status, note), note excluded; its key may be swapped."""
    make_table(
        "orders", "id int PRIMARY KEY DEFERRABLE, company text, status text, note text, j json"
    )
    attach("orders", exclude=["note"])


@pytest.fixture
def attacker(watched: None, sql: Sql) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A writer whose schema evil comes before pg_catalog; whatever of it is called fails."""
    sql("CREATE SCHEMA evil")
    try:
        for name, arguments, result in FUNCTIONS:
            sql(trap(f"evil.{name}", arguments, result))
        for number, operator in enumerate(OPERATORS):
            function = f"evil.operator_{number}"
            for kind in TYPES:
                sql(trap(function, f"{kind}, {kind}", "boolean"))
                sides = f"LEFTARG = {kind}, RIGHTARG = {kind}"
                sql(f"CREATE OPERATOR evil.{operator} (FUNCTION = {function}, {sides})")
        for table in TABLES:
            sql(f"CREATE TABLE evil.{table} (what pg_catalog.text)")
        for kind in ("text", "regclass", "jsonb", "record", "trigger"):
            sql(f"CREATE DOMAIN evil.{kind} AS pg_catalog.int4")
        with connect() as opened:
            opened.execute("SET search_path = evil, pg_catalog, public")
            for table in TABLES:
                opened.execute(f"CREATE TEMP TABLE {table} (what pg_catalog.text)")
            yield opened
    finally:
        sql("DROP SCHEMA evil CASCADE")


def trap(name: str, arguments: str, result: str) -> str:
    """Return the statement that makes a function which fails and says as whom it was called."""
    return (
        f"CREATE FUNCTION {name}({arguments}) RETURNS {result} LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION 'trapped in {name}({arguments}) as %', current_user; END $$"
    )


@pytest.mark.parametrize(
    ("expression", "trapped"),
    [("company = company", "evil.operator_0"), ("lower(company) IS NULL", "evil.lower")],
)
def test_the_traps_work(
    expression: str, trapped: str, attacker: psycopg.Connection[tuple[Any, ...]]
) -> None:
    attacker.execute("INSERT INTO public.orders VALUES (1, 'acme', 'x')")

    with pytest.raises(psycopg.errors.RaiseException, match=f"trapped in {trapped}"):
        attacker.execute(f"SELECT FROM public.orders WHERE {expression}".encode())


def test_capture_calls_nothing_of_the_writers(
    attacker: psycopg.Connection[tuple[Any, ...]], sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe("acme", operations="{INSERT,UPDATE,DELETE,TRUNCATE}")
    subscribe(None)

    for statement in (
        "INSERT INTO public.orders VALUES (1, 'acme', 'x'), (2, 'acme', 'x'), (3, NULL, 'x')",
        "UPDATE public.orders SET status = 'y'",
        "UPDATE public.orders SET note = 'y'",
        "UPDATE public.orders SET id = CASE WHEN id OPERATOR(pg_catalog.=) 1 THEN 2 ELSE 1 END"
        " WHERE id OPERATOR(pg_catalog.<) 3",
        "UPDATE public.orders SET company = 'b', id = 7 WHERE id OPERATOR(pg_catalog.=) 1",
        "DELETE FROM public.orders",
        "TRUNCATE public.orders",
    ):
        attacker.execute(statement)

    assert sorted(brief(), key=str) == [
        ("acme", "DELETE", "1"),
        ("acme", "DELETE", "2"),
        ("acme", "INSERT", "1"),
        ("acme", "INSERT", "1"),
        ("acme", "INSERT", "2"),
        ("acme", "INSERT", "2"),
        ("acme", "UPDATE", "1"),
        ("acme", "UPDATE", "2"),
        ("b", "DELETE", "7"),
        ("b", "INSERT", "7"),
        (None, "TRUNCATE", None),
    ]


def test_subscribing_calls_nothing_of_the_subscribers(
    attacker: psycopg.Connection[tuple[Any, ...]], sql: Sql
) -> None:
    for statement in (
        'INSERT INTO public.event_system_subscription (name, company, "table", handler_type)'
        " VALUES ('n', 'acme', 'orders', 'WEBHOOK')",
        "UPDATE public.event_system_subscription SET operations = '{INSERT}', company = 'b'",
        "INSERT INTO public.orders VALUES (1, 'b', 'x')",
        "DELETE FROM public.event_system_subscription",
        "TRUNCATE public.event_system_subscription",
    ):
        attacker.execute(statement)

    assert brief() == [("b", "INSERT", "1")]
    assert sql("SELECT FROM public.event_system_interest WHERE \"table\" <> ''") == []


def test_altering_and_dropping_tables_calls_nothing_of_the_owners(
    attacker: psycopg.Connection[tuple[Any, ...]], sql: Sql, subscribe: Callable[..., int]
) -> None:
    subscribe()

    for statement in (
        "ALTER TABLE public.orders ADD extra pg_catalog.text, DROP note",
        "ALTER TABLE public.orders RENAME status TO state",
        "ALTER TABLE public.orders RENAME TO renamed",
        "INSERT INTO public.renamed VALUES (1, 'acme', 'x')",
        "CREATE SCHEMA passing",
        "ALTER SCHEMA passing RENAME TO passed",
        "DROP SCHEMA passed",
        "UPDATE public.event_system_subscription SET active = false",
        "DROP TABLE public.renamed CASCADE",
    ):
        attacker.execute(statement)

    assert brief() == [("acme", "INSERT", "1")]


def test_every_function_with_our_rights_fixes_its_search_path_or_is_attacked_above(
    watched: None, sql: Sql
) -> None:
    found = sql(
        "SELECT proname::text, proconfig::text[] FROM pg_proc"
        " WHERE prosecdef AND pronamespace = 'public'::regnamespace"
        " AND proname !~ '^event_system_(insert|update|delete|truncate)_[0-9a-f]{16}$'"
    )

    assert {name for name, _ in found} >= {
        "event_system_subscription_interest",
        "event_system_table_altered",
        "event_system_table_dropped",
    }
    assert {tuple(settings or ()) for _, settings in found} == {
        ("search_path=pg_catalog, pg_temp",)
    }
