"""SEARCH: rows become entries of the index, whatever the order in which their events come."""

import json
import random
import threading
from collections.abc import Callable
from string import ascii_letters
from typing import Any

import pytest

from subscriptions import examples, services
from subscriptions.deliveries import delivery
from subscriptions.errors import InvalidSubscription
from subscriptions.explanations import why
from subscriptions.handlers.contract import handler_named
from subscriptions.models import Delivery, Event, SearchEntry, Subscription
from subscriptions.routing import Router
from subscriptions.search import index
from subscriptions.searching import search
from tests.subscriptions.conftest import Sql, connect

pytestmark = pytest.mark.django_db(transaction=True)

COLUMNS = (
    "id int PRIMARY KEY, company text, name text, code text, notes text, total numeric, meta jsonb"
)


@pytest.fixture
def customers(make_table: Callable[..., None], sql: Sql) -> str:
    make_table("customers", COLUMNS)
    sql("SELECT attach_event_trigger('customers', company => 'company')")
    return "customers"


@pytest.fixture
def indexed(customers: str, subscribe: Callable[..., int]) -> Callable[..., int]:
    """Subscribe a company's SEARCH to the customers."""

    def make(company: str | None = "acme", *, name: str = "index", **config: Any) -> int:
        return subscribe(
            company, customers, name=name, handler_type="SEARCH", config=json.dumps(config),
            operations="{INSERT,UPDATE,DELETE,TRUNCATE}",
        )  # fmt: skip

    return make


@pytest.fixture
def relay(relay: Callable[[], list[int]]) -> Callable[[], list[int]]:
    """Return the ids by the outbox."""
    return lambda: sorted(relay())


def titles(company: str | None, text: str, **options: Any) -> list[str]:
    return [hit.title for hit in search(company, text, **options)]


def statuses() -> set[str]:
    return set(Delivery.objects.values_list("status", flat=True))


def test_a_row_is_found_from_its_insert_to_its_delete(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed(title="{name} ({code})", body=["notes", "meta.city"], fields=["code"], link="/c/{code}")
    sql(
        "INSERT INTO customers VALUES (1, 'acme', 'Café & Söhne', 'C/7', 'pays <late>', 10.50,"
        ' \'{"city": "Oslo"}\')'
    )
    assert delivery.deliver(relay()) == 1

    [hit] = search("acme", "cafe")
    assert (hit.table, hit.record_id, hit.title) == ("customers", "1", "Café & Söhne (C/7)")
    assert hit.marked_title == "<mark>Café</mark> &amp; Söhne (C/7)"
    assert hit.snippet == "pays &lt;late&gt;\nOslo"
    assert (hit.fields, hit.link) == ({"code": "C/7"}, "/c/C%2F7")
    assert search("acme", "osl")[0].snippet == "pays &lt;late&gt;\n<mark>Oslo</mark>"

    sql("UPDATE customers SET name = 'Bistro', meta = NULL WHERE id = 1")
    delivery.deliver(relay())
    assert (titles("acme", "cafe"), titles("acme", "oslo")) == ([], [])
    assert titles("acme", "bistro") == ["Bistro (C/7)"]

    sql("DELETE FROM customers WHERE id = 1")
    delivery.deliver(relay())
    assert titles("acme", "bistro") == []
    assert SearchEntry.objects.values_list("title", "body", "document").get() == ("", "", "")


def test_without_a_config_name_and_texts_are_found(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'Bistro', 'B-7', 'a terrace by the lake')")
    sql("INSERT INTO customers VALUES (2, 'acme', NULL, NULL, 'nameless')")

    assert delivery.deliver(relay()) == 2

    assert titles("acme", "terrace lake") == titles("acme", "b 7") == ["Bistro"]
    assert titles("acme", "nameless") == ["2"]  # the record's id
    assert titles("acme", "acme") == []  # the company's own id says nothing


@pytest.mark.parametrize("is_reversed", [False, True], ids=["in order", "backwards"])
def test_a_row_that_stops_meeting_the_filter_is_removed(
    is_reversed: bool,
    customers: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
) -> None:
    subscription = subscribe(
        "acme",
        customers,
        handler_type="SEARCH",
        config='{"title": "name"}',
        filter='{"code": "on"}',
    )
    sql("INSERT INTO customers VALUES (1, 'acme', 'leaves', 'on'), (2, 'acme', 'stays', 'on')")
    sql("INSERT INTO customers VALUES (3, 'acme', 'comes', 'off'), (4, 'acme', 'never', 'off')")
    sql("UPDATE customers SET code = CASE id WHEN 3 THEN 'on' ELSE 'off' END WHERE id IN (1, 3)")
    sql("UPDATE customers SET notes = 'x' WHERE id IN (1, 2, 4)")

    for pk in sorted(relay(), reverse=is_reversed):
        assert delivery.deliver([pk]) == 1

    found = SearchEntry.objects.filter(is_removed=False).values_list("title", flat=True)
    assert sorted(found) == ["comes", "stays"]
    left = Event.objects.filter(operation="UPDATE", record_id="1").earliest("seq")
    told = why(Subscription.objects.get(pk=subscription), left.event_id)
    assert told.matches
    assert told.reasons[-1].found == "met before, and not any more"


def test_no_company_finds_another_ones_rows(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed("acme")
    indexed("beta")
    sql("INSERT INTO customers VALUES (1, 'acme', 'Bistro'), (2, 'beta', 'Bistro too')")
    delivery.deliver(relay())

    assert titles("acme", "bistro") == ["Bistro"]
    assert titles("beta", "bistro") == ["Bistro too"]
    for stranger in (None, "", "gamma", "%", "*"):
        assert titles(stranger, "bistro") == []


def test_a_platform_subscription_indexes_every_company_for_itself(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed(None)
    indexed("acme")
    sql("INSERT INTO customers VALUES (1, 'acme', 'Bistro'), (2, 'beta', 'Bistro too')")
    assert delivery.deliver(relay()) == 3

    assert titles("acme", "bistro") == ["Bistro"]  # once, although indexed twice
    assert titles("beta", "bistro") == ["Bistro too"]
    assert titles(None, "bistro") == []


@pytest.mark.parametrize("company", [None, "each"])
@pytest.mark.parametrize("is_reversed", [False, True], ids=["in order", "backwards"])
def test_a_row_that_moves_leaves_the_old_company_and_enters_the_new(
    company: str | None,
    is_reversed: bool,
    indexed: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
) -> None:
    for owner in ("acme", "beta") if company else (None,):
        indexed(owner)
    sql("INSERT INTO customers VALUES (1, 'acme', 'Bistro')")
    delivery.deliver(relay())
    sql("UPDATE customers SET company = 'beta' WHERE id = 1")

    for pk in sorted(relay(), reverse=is_reversed):
        delivery.deliver([pk])

    assert (titles("acme", "bistro"), titles("beta", "bistro")) == ([], ["Bistro"])


def test_the_last_event_of_a_batch_counts(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'first'), (2, 'acme', 'gone')")
    sql("UPDATE customers SET name = 'second' WHERE id = 1")
    sql("DELETE FROM customers WHERE id = 2")
    sql("UPDATE customers SET name = 'third' WHERE id = 1")
    ids = relay()

    assert delivery.deliver(ids[::-1]) == 5

    assert SearchEntry.objects.filter(is_removed=False).get().title == "third"
    assert statuses() == {Delivery.Status.DELIVERED}


def test_an_older_event_changes_nothing_whenever_it_comes(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'first'), (2, 'acme', 'ghost')")
    sql("UPDATE customers SET name = 'second' WHERE id = 1")
    sql("DELETE FROM customers WHERE id = 2")

    for pk in reversed(relay()):
        assert delivery.deliver([pk]) == 1

    assert (titles("acme", "second"), titles("acme", "first")) == (["second"], [])
    assert titles("acme", "ghost") == []


def test_a_truncated_table_is_emptied_and_older_events_stay_out(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'one')")
    delivery.deliver(relay())
    sql("INSERT INTO customers VALUES (2, 'acme', 'two')")
    late = relay()
    sql("TRUNCATE customers")
    delivery.deliver(relay())
    sql("INSERT INTO customers VALUES (1, 'acme', 'again')")

    delivery.deliver([*relay(), *late])

    assert SearchEntry.objects.filter(is_removed=False).get().title == "again"
    assert statuses() == {Delivery.Status.DELIVERED}


def test_the_entries_of_a_renamed_table_follow_it(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'one')")
    delivery.deliver(relay())
    sql("ALTER TABLE customers RENAME TO clients")
    sql("UPDATE clients SET name = 'one more'")

    delivery.deliver(relay())

    [hit] = search("acme", "one")
    assert (hit.table, hit.title) == ("clients", "one more")
    sql("ALTER TABLE clients RENAME TO customers")


@pytest.mark.parametrize("company", ["acme", None])
def test_a_truncated_table_is_emptied_for_a_filter_and_for_the_platform_too(
    company: str | None,
    customers: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
) -> None:
    subscribe(
        company, customers, handler_type="SEARCH", config="{}", filter='{"code": "on"}',
        operations="{INSERT,TRUNCATE}",
    )  # fmt: skip
    sql("INSERT INTO customers VALUES (1, 'acme', 'one', 'on')")
    delivery.deliver(relay())
    assert titles("acme", "one") == ["one"]
    sql("TRUNCATE customers")

    assert delivery.deliver(relay()) == 1

    assert titles("acme", "one") == []


@pytest.mark.parametrize(
    "asked",
    [
        {"code": {"changed_to": "on"}},
        {"$enters": {"code": "on"}},
        {"$or": [{"code": "on"}, {"notes": {"changed": True}}]},
    ],
)
def test_a_filter_on_changes_would_keep_rows_that_are_gone_and_is_refused(
    customers: str, subscribe: Callable[..., int], asked: dict[str, Any]
) -> None:
    wanted: dict[str, Any] = {"company": "acme", "table": customers, "filter": asked}
    with pytest.raises(InvalidSubscription, match="must ask what a row is, not how it changed"):
        services.create_subscription(name="x", handler_type="SEARCH", **wanted)
    pk = subscribe("acme", customers, handler_type="SEARCH", config="{}", filter=json.dumps(asked))
    router = Router()

    router.refresh()
    router.note_verdicts()

    reason = Subscription.objects.get(pk=pk).invalid_reason or ""
    assert reason.startswith("filter: SEARCH keeps the rows that meet it")


def test_a_record_too_large_for_the_index_fails_alone_and_for_good(
    make_table: Callable[..., None],
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
) -> None:
    make_table("papers", "id text PRIMARY KEY, company text, name text, data jsonb")
    sql("SELECT attach_event_trigger('papers', company => 'company')")
    subscribe(
        "acme", "papers", handler_type="SEARCH", config='{"title": "name", "fields": ["data"]}'
    )
    noise = "".join(random.Random(1).choices(ascii_letters, k=2680))  # noqa: S311 - not for secrets
    sql("INSERT INTO papers VALUES ('1', 'acme', 'fits', '{}')")
    sql("INSERT INTO papers VALUES (%s, 'acme', 'long key', '{}')", noise)
    sql("INSERT INTO papers VALUES ('3', 'acme', 'large', to_jsonb(repeat('x', 40000)))")
    sql("INSERT INTO papers VALUES ('4', 'acme', 'fits too', '{}')")

    assert delivery.deliver(relay()) == 2

    assert titles("acme", "fits") == ["fits", "fits too"]
    dead = Delivery.objects.filter(status=Delivery.Status.DEAD).order_by("id")
    assert [one.attempts for one in dead] == [1, 1]
    assert "too large for the search index: index row size" in dead[0].error
    assert "the values have 40002 characters, most of them data" in dead[1].error


def test_the_test_button_indexes_no_past_event_either(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    subscription = Subscription.objects.get(pk=indexed(title="name"))
    sql("INSERT INTO customers VALUES (1, 'acme', 'one')")
    relay()

    sent = examples.send(subscription)

    assert (sent.example.is_real, sent.outcome.is_delivered) == (True, True)
    assert not SearchEntry.objects.exists()


def test_a_composite_key_and_odd_values_are_indexed(
    make_table: Callable[..., None],
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
) -> None:
    make_table("lines", "a int, b text, company text, note json, PRIMARY KEY (a, b)")
    sql("SELECT attach_event_trigger('lines', company => 'company')")
    config = '{"title": "{b}", "body": "note", "fields": ["note", "a"]}'
    subscribe("acme", "lines", handler_type="SEARCH", config=config)
    odd = ['"nul \\u0000 here"', '"half \\ud800 pair"', "1e5000", '["x", {"y": true}]']
    for number, note in enumerate(odd):
        sql("INSERT INTO lines VALUES (%s, 'it''s', 'acme', %s)", number, note)

    assert delivery.deliver(relay()) == 3

    found = {hit.record_id["a"]: hit.fields for hit in search("acme", "it s")}
    assert sorted(found) == [0, 1, 3]
    assert found[3] == {"note": ["x", {"y": True}], "a": 3}
    [dead] = Delivery.objects.filter(status=Delivery.Status.DEAD)
    assert "too large" in dead.error


def test_what_is_long_is_cut_and_found_by_its_beginning(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed(title="name", body="notes")
    many = " ".join(f"word{number}" for number in range(40_000))
    sql("INSERT INTO customers VALUES (1, 'acme', %s, 'C', %s)", "ﷺ" * 800, many)
    sql("INSERT INTO customers VALUES (2, 'acme', %s, 'C', %s)", "x" * 9000, "é" * 300_000)

    assert delivery.deliver(relay()) == 2

    [hit] = search("acme", "word9000")  # beyond what is kept to be shown
    assert len(hit.title) == 500
    assert hit.snippet.startswith("word0 word1 ")
    assert titles("acme", "x" * 100) == ["x" * 500]


def test_a_table_without_a_key_is_refused_event_by_event(
    make_table: Callable[..., None],
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
) -> None:
    make_table("notes", "company text, name text")
    sql("SELECT attach_event_trigger('notes', company => 'company')")
    subscribe("acme", "notes", handler_type="SEARCH", config="{}")
    sql("INSERT INTO notes VALUES ('acme', 'x')")

    delivery.deliver(relay())

    assert "primary key" in Delivery.objects.get(status=Delivery.Status.DEAD).error


def test_a_deleted_subscription_takes_its_entries_along(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    pk = indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'Bistro')")
    delivery.deliver(relay())

    assert services.delete_subscription(pk)

    assert not SearchEntry.objects.exists()


def test_workers_with_the_same_records_do_not_deadlock(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed()
    for turn in range(4):
        sql(
            "INSERT INTO customers SELECT n, 'acme', %s FROM generate_series(1, 50) AS n"
            " ON CONFLICT (id) DO UPDATE SET name = excluded.name",
            f"turn {turn}",
        )
    ids = relay()
    chunks = [ids[100:], ids[:100]]
    begin = threading.Barrier(2)

    def work(chunk: list[int]) -> None:
        from django.db import connection

        begin.wait(10)
        delivery.deliver(chunk)
        connection.close()

    threads = [threading.Thread(target=work, args=[chunk]) for chunk in chunks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert statuses() == {Delivery.Status.DELIVERED}
    assert set(SearchEntry.objects.values_list("title", flat=True)) == {"turn 3"}


def test_what_removed_records_left_is_forgotten_once_nothing_older_can_come(
    indexed: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    indexed()
    sql("INSERT INTO customers VALUES (1, 'acme', 'one'), (2, 'acme', 'two')")
    sql("DELETE FROM customers WHERE id = 1")
    delivery.deliver(relay())
    SearchEntry.objects.update(changed_at="2020-01-01T00:00:00Z")

    assert index.forget_removed(limit=10) == 0  # its INSERT is in the outbox still
    with connect() as owner:
        owner.execute("DELETE FROM event_system_event WHERE operation = 'INSERT'")
        owner.execute("SELECT nextval('event_system_event_seq')")
        owner.execute("UPDATE event_system_event SET seq = seq + 1")
    assert index.forget_removed(limit=10) == 1
    assert SearchEntry.objects.get().title == "two"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"title": "nam"}, "config.title", "there is no nam; there are: code, company, id,"),
    ({"title": "{name} {x.y}"}, "config.title", "there is no x.y"),
    ({"body": ["notes", "note"]}, "config.body", "there is no note"),
    ({"fields": ["total", "sum"]}, "config.fields", "there is no sum"),
    ({"link": "/c/{key}"}, "config.link", "there is no key"),
    ({"link": "javascript:{name}"}, "config.link", "must begin with / or https://host/"),
    ({"link": "https://{name}/x"}, "config.link", "must begin with / or https://host/"),
    ({"link": "https://a.example{name}/x"}, "config.link", "must begin with / or https"),
    ({"link": "//{name}"}, "config.link", "must begin with / or https://host/"),
    ({"title": "{name"}, "config.title", "write {{"),
    ({"title": "{name!r}"}, "config.title", "without ':' or '!'"),
    ({"title": "{}"}, "config.title", "no dotted path"),
    ({"titel": "name"}, "config.titel", "SEARCH takes: title, body, fields, link"),
]


def test_a_config_that_cannot_be_right_is_refused(customers: str) -> None:
    for config, field, allowed in REFUSED:
        with pytest.raises(InvalidSubscription) as caught:
            services.create_subscription(
                name="x", company="acme", handler_type="SEARCH", table=customers, config=config
            )

        assert caught.value.field == field
        assert allowed in caught.value.problem


def test_the_test_button_indexes_nothing(indexed: Callable[..., int]) -> None:
    subscription = Subscription.objects.get(pk=indexed(title="name"))

    sent = examples.send(subscription)

    assert sent.outcome.is_delivered
    assert sent.preview.title.startswith("index customers ")
    assert not SearchEntry.objects.exists()


def test_a_typed_event_cannot_be_indexed(customers: str) -> None:
    with pytest.raises(InvalidSubscription, match="SEARCH indexes the rows of a table"):
        handler_named("SEARCH").check_columns(None, table=None, columns={"name"})
