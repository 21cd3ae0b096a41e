"""`manage.py reindex`: the index is what the table is, whatever happens meanwhile."""

import json
import threading
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from subscriptions.models import SearchEntry, Subscription
from subscriptions.search import index, source
from subscriptions.search.index import Entry
from subscriptions.search.reindexing import Progress, reindex
from subscriptions.searching import search
from tests.subscriptions.conftest import Sql, connect
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Subscribe = Callable[..., Subscription]


@pytest.fixture
def customers(make_table: Callable[..., None], sql: Sql) -> str:
    make_table("customers", "id int PRIMARY KEY, company text, name text, hidden text")
    sql("SELECT attach_event_trigger('customers', company => 'company', exclude => '{hidden}')")
    return "customers"


@pytest.fixture
def indexed(customers: str, subscribe: Callable[..., int]) -> Subscribe:
    def make(company: str | None = "acme", table: str = customers, **options: Any) -> Subscription:
        config = json.dumps(options.pop("config", {"title": "name"}))
        pk = subscribe(company, table, handler_type="SEARCH", config=config, **options)
        return Subscription.objects.get(pk=pk)

    return make


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "PAGE", 2)


def titles() -> list[str]:
    rows = SearchEntry.objects.filter(is_removed=False).exclude(record_key="")
    return sorted(rows.values_list("title", flat=True))


@pytest.mark.usefixtures("small_pages")
def test_rows_from_before_the_subscription_are_indexed_and_others_removed(
    indexed: Subscribe, sql: Sql, deliver: Callable[[], int]
) -> None:
    sql(
        "INSERT INTO customers SELECT n, 'acme', 'name ' || n, 'secret' FROM generate_series(1,5) n"
    )
    sql("INSERT INTO customers VALUES (6, 'beta', 'theirs')")
    subscription = indexed()
    sql("INSERT INTO customers VALUES (7, 'acme', 'gone'), (8, 'acme', 'stays')")
    deliver()
    sql("ALTER TABLE customers DISABLE TRIGGER USER")
    sql("DELETE FROM customers WHERE id IN (1, 7)")
    sql("UPDATE customers SET name = 'unseen' WHERE id = 8")

    found = reindex(subscription)

    assert titles() == ["name 2", "name 3", "name 4", "name 5", "unseen"]
    assert (found.indexed, found.removed, found.failed) == (5, 1, 0)
    assert search("beta", "theirs") == []
    assert search("acme", "secret") == []
    assert reindex(subscription).removed == 0


@pytest.mark.usefixtures("small_pages")
def test_composite_keys_in_odd_names_and_types_are_paged_through(
    make_table: Callable[..., None], sql: Sql, indexed: Subscribe, deliver: Callable[[], int]
) -> None:
    make_table(
        '"odd %s Table"',
        '"a%b" timestamptz, "Company Id" text, "Key ""2""" uuid DEFAULT gen_random_uuid(),'
        ' name text, PRIMARY KEY ("Key ""2""", "a%b")',
    )
    sql("SELECT attach_event_trigger(%s, company => 'Company Id')", "odd %s Table")
    subscription = indexed(table="odd %s Table")
    sql(
        'INSERT INTO "odd %s Table" ("a%b", "Company Id", name)'
        " SELECT now() + n * interval '1 us', 'acme', 'n' || n FROM generate_series(1, 5) AS n"
    )
    deliver()
    delivered = set(SearchEntry.objects.values_list("record_key", "title"))

    found = reindex(subscription)

    assert (found.indexed, found.removed) == (5, 0)
    assert set(SearchEntry.objects.values_list("record_key", "title")) == delivered
    assert len(delivered) == 5


def test_an_event_that_comes_while_rows_are_read_wins(
    indexed: Subscribe, sql: Sql, deliver: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    subscription = indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'old'), (2, 'acme', 'to go')")
    deliver()
    put = index.put

    def meanwhile(entries: Sequence[Entry]) -> set[int]:
        """Change and deliver between the reading of a page and its writing."""
        monkeypatch.setattr(index, "put", put)
        sql("UPDATE customers SET name = 'new' WHERE id = 1")
        sql("DELETE FROM customers WHERE id = 2")
        sql("INSERT INTO customers VALUES (3, 'acme', 'fresh')")
        deliver()
        return put(entries)

    monkeypatch.setattr(index, "put", meanwhile)

    reindex(subscription)

    assert titles() == ["fresh", "new"]


def test_an_open_transaction_that_wrote_an_event_is_waited_for(
    indexed: Subscribe, sql: Sql, deliver: Callable[[], int]
) -> None:
    subscription = indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'old')")
    deliver()
    told: list[Progress] = []

    def work() -> None:
        reindex(subscription, tell=told.append)
        connection.close()

    thread = threading.Thread(target=work)
    with connect() as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE customers SET name = 'new' WHERE id = 1")
        thread.start()
        wait_until(lambda: told, what="it waits for the writer")
        assert told[0].waits_for == (writer.info.backend_pid,)
        writer.execute("COMMIT")
    thread.join(30)
    deliver()

    assert titles() == ["new"]


def test_the_filter_says_which_rows_are_indexed(indexed: Subscribe, sql: Sql) -> None:
    sql("INSERT INTO customers VALUES (1, 'acme', 'in'), (2, 'acme', 'out')")

    found = reindex(indexed(filter='{"name": "in"}'))

    assert titles() == ["in"]
    assert (found.indexed, found.left_out) == (1, 1)


def test_a_platform_subscription_is_reindexed_whole_or_for_one_company(
    indexed: Subscribe, sql: Sql
) -> None:
    sql("INSERT INTO customers VALUES (1, 'acme', 'ours'), (2, 'beta', 'theirs'), (3, NULL, 'no')")
    subscription = indexed(None)
    reindex(subscription)
    sql("ALTER TABLE customers DISABLE TRIGGER USER")
    sql("DELETE FROM customers")

    assert titles() == ["ours", "theirs"]
    assert reindex(subscription, company="acme").removed == 1
    assert titles() == ["theirs"]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("reindex", *arguments, stdout=out, stderr=out)
    return out.getvalue()


def test_the_command_takes_names_ids_and_companies(indexed: Subscribe, sql: Sql) -> None:
    sql("INSERT INTO customers VALUES (1, 'acme', 'ours'), (2, 'beta', 'theirs')")
    ours, theirs = indexed("acme"), indexed("beta")

    assert run("all", "--company", "acme").startswith("all (acme): 1 indexed, 0 removed in ")
    assert titles() == ["ours"]
    assert run(str(theirs.pk)).startswith("all (beta): 1 indexed")
    assert run().count(" 1 indexed") == 2
    with pytest.raises(CommandError, match=r"no SEARCH subscription 'x'; there are: all \(acme\)"):
        run("x", "--company", "acme")
    Subscription.objects.filter(pk=ours.pk).update(config={"title": "nam"})
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 1


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_a_bar(indexed: Subscribe, sql: Sql) -> None:
    sql("INSERT INTO customers SELECT n, 'acme', 'name' FROM generate_series(1, 5) AS n")
    indexed()
    shown = Terminal()

    call_command("reindex", stdout=shown)

    assert "5/5" in shown.getvalue()
    assert shown.getvalue().splitlines()[-1].startswith("all (acme): 5 indexed")
