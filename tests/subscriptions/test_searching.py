"""`search()`: what comes first, what a typing error still finds, and that an index answers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from subscriptions import searching
from subscriptions.search import index
from subscriptions.search.entries import Content
from subscriptions.search.index import Entry
from subscriptions.search.snippets import snippet
from subscriptions.searching import search
from tests.subscriptions.conftest import Sql

pytestmark = pytest.mark.django_db(transaction=True)

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
Add = Callable[..., None]


@pytest.fixture
def add(orders: str, subscribe: Callable[..., int]) -> Add:
    """Put records into the index, each a minute newer than the one before."""
    number = 0
    subscription = subscribe(handler_type="SEARCH", config="{}")

    def make(*titles: str, body: str = "", company: str | None = "acme", table: str = "t") -> None:
        nonlocal number
        entries = []
        for title in titles:
            number += 1
            entries.append(
                Entry(
                    subscription_id=subscription,
                    company=company,
                    table=table,
                    record_key=f'"{number}"',
                    seq=number,
                    content=Content(title, body, {}, ""),
                    changed_at=BEGAN + timedelta(minutes=number),
                )
            )
        index.put(entries)

    return make


def titles(text: str, **options: Any) -> list[str]:
    return [hit.title for hit in search("acme", text, **options)]


def test_the_better_match_comes_first_and_of_equals_the_newer(add: Add) -> None:
    add("Acme")
    add("Acme Ltd", "The Acme", "Acmenia", "Ackme")
    add("Whole", body="owed by acme")
    add("Begun", body="acmes of style")

    assert titles("acme") == [
        "Acme",
        "The Acme",
        "Acme Ltd",
        "Acmenia",
        "Whole",
        "Begun",
    ]
    assert titles("acmme") == ["The Acme", "Acme Ltd", "Acme", "Acmenia"]


TYPED = [
    ("acm", "Acme Ltd"),
    ("ltd ACME", "Acme Ltd"),
    ("acmee", "Acme Ltd"),
    ("acme limitd", "Acme Limited"),
    ("micrsoft", "Microsoft"),
    ("mircosoft", "Microsoft"),
    ("PO-00123", "PO-00123"),
    ("00123", "PO-00123"),
    ("po 123", "PO/123/b"),
    ("muller", "Müller & Søn"),
    ("MÜLLER", "Müller & Søn"),
    ("strasse", "Straße 7"),
    ("東京", "東京都"),
    ("o'brien", "O'Brien"),
    ("user@exa", "user@example.com"),
    ("v2.1", "v2.1.7"),
]


def test_names_and_codes_are_found_as_people_type_them(add: Add) -> None:
    for number, (_, found) in enumerate(TYPED):
        add("Bistro", "Zebra GmbH", found, table=f"t{number}")

    seen = [titles(text, table=f"t{number}")[:1] for number, (text, _) in enumerate(TYPED)]

    assert seen == [[found] for _, found in TYPED]


ODD = ["", " ", "'", "' | 'x", "a:*b & !c", "\\", "<->", "\x00", "\ud800", "x" * 5000, "()&|!"]


def test_no_text_is_an_error(add: Add) -> None:
    add("Bistro")

    assert [text for text in ODD if titles(text)] == []


def test_a_table_limit_and_offset_narrow_what_is_shown(add: Add) -> None:
    add(*[f"Bistro {number}" for number in range(10)])
    add("Bistro elsewhere", table="other")
    add("Bistro of others", company="beta")
    add("Bistro of nobody", company=None)

    assert titles("bistro", table="other") == ["Bistro elsewhere"]
    assert titles("bistro", limit=2) == ["Bistro elsewhere", "Bistro 9"]
    assert titles("bistro", limit=3, offset=9) == ["Bistro 1", "Bistro 0"]
    assert [hit.title for hit in search(None, "bistro")] == ["Bistro of nobody"]


def test_a_page_out_of_range_is_refused() -> None:
    for limit, offset in [(0, 0), (101, 0), (1, -1), (1, 1001)]:
        with pytest.raises(ValueError, match="is not"):
            search("acme", "x", limit=limit, offset=offset)


def test_a_snippet_shows_the_first_match_in_whole_words_and_no_markup() -> None:
    text = "filler " * 60 + "<script>alert('Bistró')</script> " + "after " * 60

    found = snippet(text, ["bistro"])

    assert found.startswith("… filler ")
    assert found.endswith("after …")
    assert "&lt;script&gt;alert(&#x27;<mark>Bistró</mark>&#x27;)" in found
    assert "<script" not in found
    assert snippet("short & plain", ["x"]) == "short &amp; plain"


# Letters only: different words for each number, and one that they share; rows of half a kilobyte.
FILL = """
INSERT INTO event_system_search_entry (subscription_id, company, "table", record_key, seq, title,
    body, folded, document, changed_at)
SELECT %s, 'acme', 't', to_json(n::text)::text, n, title, repeat(hash, 10), title,
    array_to_tsvector(words || ARRAY(SELECT '=' || w FROM unnest(words) AS w)),
    now() - n * interval '1 minute'
FROM generate_series(1, 20000) AS n,
    LATERAL (SELECT translate(md5(n::text), '0123456789', 'ghijklmnop')) AS hashed (hash),
    LATERAL (SELECT ARRAY[left(hash, 9), right(hash, 5), 'limited']) AS split (words),
    LATERAL (SELECT array_to_string(words, ' ')) AS joined (title)
"""


def test_every_rank_is_read_from_an_index_among_twenty_thousand(
    orders: str, subscribe: Callable[..., int], sql: Sql
) -> None:
    sql(FILL, subscribe(handler_type="SEARCH", config="{}"))
    sql("VACUUM ANALYZE event_system_search_entry")
    [(wanted,)] = sql("SELECT title FROM event_system_search_entry WHERE seq = 777")
    first = wanted.split()[0]
    mistyped = first[:4] + first[5:]

    plans = explained(mistyped)

    assert "Seq Scan" not in "".join(plans)
    for rank, name in enumerate(["title", *["words"] * 4, "similar"]):
        assert f"event_system_search_entry_{name}" in plans[rank]
    assert titles(wanted)[0] == titles(mistyped)[0] == wanted
    assert titles("limited", limit=2)[0].endswith("limited")
    assert "event_system_search_entry_newest" in "".join(explained("limited"))
    assert titles("l", limit=2) == titles("limited", limit=2)
    assert "event_system_search_entry_newest" in explained("l")[2]


def explained(text: str) -> list[str]:
    """Return the plans of what `search` looks for, rank by rank."""
    statements: list[tuple[str, Any]] = []

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(keep):
        search("acme", text)
    plans = []
    with connection.cursor() as cursor:
        for statement, params in statements:
            if "SELECT id" in statement:
                cursor.execute(f"EXPLAIN {statement}", params)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    return plans


def test_a_company_sees_nothing_of_another_by_any_rank(add: Add) -> None:
    add("Bistro", body="terrace", company="beta")

    for text in ("bistro", "bist", "terrace", "terr", "bstro"):
        assert searching.search("acme", text) == []
        assert [hit.company for hit in searching.search("beta", text)] == ["beta"]
