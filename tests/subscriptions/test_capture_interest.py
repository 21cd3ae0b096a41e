"""The interest that subscriptions declare: what every watched write asks before it builds JSON."""

import threading
from collections.abc import Callable

import psycopg
import pytest

from subscriptions.errors import InvalidSubscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from subscriptions.services import create_subscription
from tests.subscriptions.conftest import Attach, Messages, Sql, brief, connect

pytestmark = pytest.mark.django_db(transaction=True)

Subscribe = Callable[..., int]

# What the table must hold: each pair of operation and company, and how many ask for it.
DERIVED = """
SELECT s."table", o, COALESCE(s.company, '*'), count(DISTINCT s.id)::int
FROM event_system_subscription s CROSS JOIN unnest(s.operations) AS o
WHERE s.active AND s."table" IS NOT NULL GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
KEPT = """
SELECT "table", operation, company, subscriptions FROM event_system_interest
WHERE "table" <> '' ORDER BY 1, 2, 3
"""


CHANGES = [
    "UPDATE event_system_subscription SET company = 'b' WHERE id % 2 = 0",
    "UPDATE event_system_subscription SET company = NULL WHERE name = 'n1'",
    "UPDATE event_system_subscription SET operations = '{TRUNCATE,INSERT,INSERT}'",
    "UPDATE event_system_subscription SET active = NOT active WHERE name = 'n2'",
    "UPDATE event_system_subscription SET \"table\" = 'items'",
    "UPDATE event_system_subscription SET \"table\" = NULL, event_type = 'a.b' WHERE id % 2 = 0",
    "UPDATE event_system_subscription SET active = false, operations = '{DELETE}'",
    "UPDATE event_system_subscription SET paused_at = now()",
    "DELETE FROM event_system_subscription WHERE id % 2 = 0",
    "TRUNCATE event_system_subscription",
]


def test_interest_is_what_the_subscriptions_come_to(
    orders: str,
    make_table: Callable[..., None],
    writer: psycopg.Connection[tuple[object, ...]],
    sql: Sql,
    subscribe: Subscribe,
) -> None:
    make_table("items")
    sql("SELECT attach_event_trigger('items')")
    for number, company in enumerate(["a", "a", "b", None, "c"]):
        subscribe(company, name=f"n{number}", operations="{INSERT,UPDATE}")
    assert sql(KEPT) == sql(DERIVED) != []

    for change in CHANGES:
        with writer.transaction(force_rollback=True):
            sql(change)
            assert sql(KEPT) == sql(DERIVED), change
            sql("UPDATE event_system_subscription SET active = true, company = 'd'")
            assert sql(KEPT) == sql(DERIVED), change


def test_two_who_come_and_go_at_once_neither_deadlock_nor_lose_interest(
    orders: str, sql: Sql, subscribe: Subscribe
) -> None:
    stays = subscribe("a", name="stays", operations="{UPDATE}")
    problems: list[BaseException] = []

    def come_and_go(number: int) -> None:
        try:
            with connect() as mine:
                for _ in range(20):
                    mine.execute(
                        'INSERT INTO event_system_subscription (name, company, "table", operations,'
                        " handler_type) VALUES (%s, 'a', 'orders', '{UPDATE,INSERT}', 'WEBHOOK')",
                        [f"n{number}"],
                    )
                    mine.execute(
                        "UPDATE event_system_subscription SET operations = '{UPDATE,DELETE}'"
                        " WHERE name IN ('stays', %s)",
                        [f"n{number}"],
                    )
                    mine.execute(
                        "DELETE FROM event_system_subscription WHERE name = %s", [f"n{number}"]
                    )
        except psycopg.Error as error:
            problems.append(error)

    threads = [threading.Thread(target=come_and_go, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert problems == []
    assert sql("SELECT id FROM event_system_subscription") == [(stays,)]
    assert sql(KEPT) == sql(DERIVED)
    assert [operation for _, operation, _, _ in sql(KEPT)] == ["DELETE", "UPDATE"]


def test_a_subscription_by_sql_is_made_once_and_used_by_the_next_event(
    make_table: Callable[..., None], attach: Attach, sql: Sql, messages: Messages
) -> None:
    make_table("orders")
    attach("orders")
    router = Router()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)

    for url in ("https://example.com/first", "https://example.com/second"):
        sql(
            'INSERT INTO event_system_subscription (name, company, "table", handler_type, config)'
            " VALUES ('by sql', 'acme', 'orders', 'WEBHOOK', jsonb_build_object('url', %s::text))"
            " ON CONFLICT (company, name) DO NOTHING",
            url,
        )
    sql("INSERT INTO orders VALUES (2, 'acme', 'x')")
    relay_all(router)

    assert sql("SELECT config ->> 'url' FROM event_system_subscription") == [
        ("https://example.com/first",)
    ]
    assert brief() == [("acme", "INSERT", "2")]
    assert sql("SELECT count(*) FROM event_system_delivery") == [(1,)]


def test_a_filter_on_a_virtual_generated_column_is_refused(
    make_table: Callable[..., None], sql: Sql
) -> None:
    if sql("SELECT current_setting('server_version_num')::int < 180000") == [(True,)]:
        pytest.skip("virtual generated columns came with PostgreSQL 18")
    make_table("orders", "id int PRIMARY KEY, company text, twice int GENERATED ALWAYS AS (id * 2)")
    sql("SELECT attach_event_trigger('orders')")

    with pytest.raises(InvalidSubscription, match="filter: there is no twice"):
        create_subscription(
            name="n",
            company="acme",
            table="orders",
            filter={"twice": 4},
            handler_type="WEBHOOK",
            config={"url": "https://93.184.216.34/hook"},
        )
