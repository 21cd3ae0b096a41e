"""What another role can do with capture's functions, and whose code capture runs."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.subscriptions.conftest import Attach, Sql, brief, connect, told

pytestmark = pytest.mark.django_db(transaction=True)

MakeTable = Callable[..., None]
Subscribe = Callable[..., int]


@pytest.fixture
def clerk(sql: Sql) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A session of a role that may do nothing but make tables of its own."""
    sql("DROP ROLE IF EXISTS clerk")
    sql("CREATE ROLE clerk")
    sql("CREATE SCHEMA desk AUTHORIZATION clerk")
    try:
        with connect() as opened:
            opened.execute("SET ROLE clerk")
            yield opened
    finally:
        sql("DELETE FROM event_system_subscription")
        sql("DROP OWNED BY clerk CASCADE")
        sql("DROP ROLE clerk")


# Whose functions ----------------------------------------------------------------------------------


def test_another_role_attaches_no_function_of_ours_to_its_own_table(
    make_table: MakeTable, attach: Attach, sql: Sql, clerk: psycopg.Connection[tuple[Any, ...]]
) -> None:
    make_table("orders")
    sql(
        'CREATE OR REPLACE FUNCTION allow("table" text, operation text, new jsonb, old jsonb)'
        " RETURNS void LANGUAGE sql AS 'SELECT'"
    )
    attach("orders", interceptors=["allow"])
    ours = sql(
        "SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        " AND proname LIKE 'event\\_system\\_%' AND prorettype = 'trigger'::regtype"
    )
    clerk.execute("CREATE TEMP TABLE mine (id int, company text)")

    for (name,) in ours:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"):
            clerk.execute(
                "CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW"
                f" EXECUTE FUNCTION {name}()".encode()
            )

    assert len(ours) >= 10


def test_everything_that_runs_with_our_rights_is_for_us_alone(orders: str, sql: Sql) -> None:
    assert (
        sql(
            "SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
            " AND has_function_privilege('public', oid, 'EXECUTE')"
        )
        == []
    )


@pytest.mark.parametrize("name", ["interest", "revise", "gate"])
def test_the_subscriptions_triggers_work_for_no_other_table(
    name: str, orders: str, sql: Sql, subscribe: Subscribe
) -> None:
    subscribe()
    sql("CREATE TEMP TABLE forged (LIKE event_system_subscription)")
    sql("INSERT INTO forged SELECT * FROM event_system_subscription")
    sql(
        "CREATE TRIGGER t AFTER DELETE ON forged FOR EACH ROW"
        f" EXECUTE FUNCTION event_system_subscription_{name}()"
    )

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="forged is not"):
        sql("DELETE FROM forged")


def test_a_member_of_the_platforms_role_watches_its_own_table(
    sql: Sql, clerk: psycopg.Connection[tuple[Any, ...]], subscribe: Subscribe
) -> None:
    clerk.execute("CREATE TABLE desk.orders (id int PRIMARY KEY, company text NOT NULL)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="needs the rights of the role"):
        clerk.execute("SELECT attach_event_trigger('desk.orders')")
    sql("DO $$ BEGIN EXECUTE format('GRANT %I TO clerk', current_user); END $$")

    for capture in ("statement", "row"):
        clerk.execute("SELECT attach_event_trigger('desk.orders', capture => %s)", [capture])
    subscribe(table="desk.orders")
    sql("DO $$ BEGIN EXECUTE format('REVOKE %I FROM clerk', current_user); END $$")
    clerk.execute("INSERT INTO desk.orders VALUES (1, 'acme')")

    assert brief() == [("acme", "INSERT", "1")]


# Whose code ---------------------------------------------------------------------------------------


def test_a_type_of_another_role_is_not_shown(
    clerk: psycopg.Connection[tuple[Any, ...]], make_table: MakeTable, sql: Sql
) -> None:
    clerk.execute("CREATE TYPE desk.mood AS ENUM ('good')")
    clerk.execute("CREATE DOMAIN desk.moods AS desk.mood[]")
    make_table("orders", "id int PRIMARY KEY, company text, moods desk.moods")

    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match=r"moods: type desk\.mood\S* bel"
    ):
        sql("SELECT attach_event_trigger('orders')")
    sql("SELECT attach_event_trigger('orders', exclude => '{moods}')")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="column other: type desk"):
        sql("ALTER TABLE orders ADD other desk.mood")


def test_a_cast_that_fixes_no_search_path_is_not_used(make_table: MakeTable, sql: Sql) -> None:
    sql("CREATE TYPE mood AS ENUM ('good')")
    try:
        sql("CREATE FUNCTION as_json(mood) RETURNS json LANGUAGE sql AS $$ SELECT '1'::json $$")
        sql("CREATE CAST (mood AS json) WITH FUNCTION as_json(mood)")
        make_table("orders", "id int PRIMARY KEY, company text, mood mood")

        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"calls public\.as_json"):
            sql("SELECT attach_event_trigger('orders')")
        sql("ALTER FUNCTION as_json(mood) SET search_path = pg_catalog, pg_temp")
        sql("SELECT attach_event_trigger('orders')")
    finally:
        sql("DROP TABLE orders")
        sql("DROP TYPE mood CASCADE")


def test_a_table_whose_owner_we_do_not_trust_must_not_ask_row_security(
    sql: Sql, clerk: psycopg.Connection[tuple[Any, ...]]
) -> None:
    clerk.execute("CREATE TABLE desk.orders (id int PRIMARY KEY, company text)")
    sql("SELECT attach_event_trigger('desk.orders')")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row security: its owner clerk"):
        clerk.execute("ALTER TABLE desk.orders ENABLE ROW LEVEL SECURITY")


@pytest.mark.parametrize("table", ["jobs_run", "jobs_steprun", "django_celery_results_taskresult"])
def test_the_engines_tables_are_not_watched(table: str, sql: Sql) -> None:
    with pytest.raises(
        psycopg.errors.WrongObjectType, match="is the platform's own; what its even"
    ):
        sql("SELECT attach_event_trigger(%s)", table)


def test_interceptors_ask_no_operator_of_the_writers(make_table: MakeTable, sql: Sql) -> None:
    make_table("orders")
    sql(
        'CREATE OR REPLACE FUNCTION allow("table" text, operation text, new jsonb, old jsonb)'
        " RETURNS void LANGUAGE sql AS 'SELECT'"
    )
    sql("SELECT attach_event_trigger('orders', ARRAY['allow'], after_interceptors => '{allow}')")
    sql("CREATE SCHEMA evil")
    try:
        sql(
            "CREATE FUNCTION evil.trap(text, text) RETURNS boolean LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION 'trapped'; END $$"
        )
        for operator in ("=", "<>", "||"):
            sql(
                f"CREATE OPERATOR evil.{operator}"
                " (FUNCTION = evil.trap, LEFTARG = text, RIGHTARG = text)"
            )
        with connect() as attacker:
            attacker.execute("SET search_path = evil, pg_catalog, public")
            attacker.execute("INSERT INTO public.orders VALUES (1, 'acme', 'x')")
            attacker.execute("UPDATE public.orders SET status = 'y'")
            attacker.execute("DELETE FROM public.orders")
    finally:
        sql("DROP SCHEMA evil CASCADE")


# Excluded columns ---------------------------------------------------------------------------------


def test_an_excluded_column_may_be_of_a_domain_that_is_not_null(
    make_table: MakeTable, attach: Attach, sql: Sql, subscribe: Subscribe
) -> None:
    sql("CREATE DOMAIN secret AS text NOT NULL")
    try:
        make_table("orders", "id int PRIMARY KEY, company text, status text, s secret")
        attach("orders", exclude=["s"])
        subscribe()

        sql("INSERT INTO orders VALUES (1, 'acme', 'x', 'hush')")
        sql("UPDATE orders SET s = 'hushed'")
        sql("UPDATE orders SET status = 'y'")

        shown = {"id": 1, "company": "acme", "status": "x"}
        assert told() == [
            ("acme", "INSERT", "1", shown, None),
            ("acme", "UPDATE", "1", {**shown, "status": "y"}, shown),
        ]
    finally:
        sql("DELETE FROM event_system_subscription")
        sql("DROP TABLE orders")
        sql("DROP DOMAIN secret")


def test_what_is_kept_may_be_called_as_the_functions_own_names(
    make_table: MakeTable, attach: Attach, sql: Sql, subscribe: Subscribe
) -> None:
    make_table(
        "orders",
        "id int PRIMARY KEY, company text, kept text, new_company text, note text, found text",
    )
    attach("orders", exclude=["note"])
    subscribe()

    sql("INSERT INTO orders VALUES (1, 'acme', 'k', 'n', 'x', 'f')")

    assert told()[0][3] == {
        "id": 1,
        "company": "acme",
        "kept": "k",
        "new_company": "n",
        "found": "f",
    }


def restore(sql: Sql) -> None:
    """Leave the watch as a restore does: other oids than those that were noted."""
    sql(
        "UPDATE event_system_watch"
        " SET relation_oid = 1, company_attnum = 1, exclude_attnums = '{1}'"
    )


def test_an_excluded_column_that_is_renamed_after_a_restore_stays_excluded(
    make_table: MakeTable, attach: Attach, sql: Sql, subscribe: Subscribe
) -> None:
    make_table("orders", "id int PRIMARY KEY, company text, note text")
    attach("orders", exclude=["note"])
    subscribe()
    restore(sql)

    sql("ALTER TABLE orders RENAME note TO remark")
    sql("ALTER TABLE orders RENAME company TO tenant")
    sql("INSERT INTO orders VALUES (1, 'acme', 'hush')")

    assert told() == [("acme", "INSERT", "1", {"id": 1, "tenant": "acme"}, None)]


def test_a_rename_that_nobody_could_follow_is_refused(
    make_table: MakeTable, attach: Attach, sql: Sql
) -> None:
    make_table("orders", "id int PRIMARY KEY, company text, note text")
    attach("orders", exclude=["note"])
    restore(sql)
    sql("ALTER EVENT TRIGGER event_system_table_altering DISABLE")
    try:
        with pytest.raises(psycopg.Error, match="was watched before this database was restored"):
            sql("ALTER TABLE orders RENAME note TO remark")
    finally:
        sql("ALTER EVENT TRIGGER event_system_table_altering ENABLE")


# Keys that change hands ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement", ["UPDATE orders SET id = 3 - id", "UPDATE orders SET id = id % 3 + 1"]
)
def test_keys_that_change_hands_are_there_for_the_platform_in_the_end(
    statement: str, make_table: MakeTable, attach: Attach, sql: Sql, subscribe: Subscribe
) -> None:
    make_table("orders", "id int PRIMARY KEY DEFERRABLE, company text")
    attach("orders")
    subscribe(None)
    sql("INSERT INTO orders VALUES (1, 'a'), (2, 'b')")

    sql(statement)

    last = {key: (operation, company) for company, operation, key in brief()}
    there = sql("SELECT id::text, 'INSERT', company FROM orders")
    assert {key: (operation, company) for key, operation, company in there}.items() <= last.items()
    assert {key for key, (operation, _) in last.items() if operation == "INSERT"} == {
        key for key, *_ in there
    }
    assert len(brief()) == 6
    assert sql("SELECT count(DISTINCT id) FROM event_system_event") == [(6,)]
