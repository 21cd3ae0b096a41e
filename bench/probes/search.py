"""Fill the search index, and time searches in it beside a bare ILIKE over the same rows."""

import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
django.setup()

from django.core.management import call_command  # noqa: E402 - the models exist only now
from django.db import connection  # noqa: E402

from bench.errors import BenchError  # noqa: E402
from subscriptions.models import Subscription  # noqa: E402
from subscriptions.search import index  # noqa: E402
from subscriptions.search.entries import Content  # noqa: E402
from subscriptions.search.index import Entry  # noqa: E402
from subscriptions.searching import search  # noqa: E402

COMPANY = "bench"
TABLE = "bench_customers"
BATCH = 1000
SEARCHES = 10  # of a figure
ENDINGS = ("ltd", "gmbh", "inc", "company", "partners", "brothers")
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "ol")]
BARE = """
SELECT id, title FROM event_system_search_entry WHERE company = %s AND NOT is_removed
    AND (title ILIKE %s OR body ILIKE %s) ORDER BY changed_at DESC LIMIT 20
"""


def prepare() -> None:
    """Make the tables in a database of one's own, and a subscription to fill them for."""
    call_command("migrate", verbosity=0, interactive=False)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {TABLE} (id bigint PRIMARY KEY, company text, name text)")
        cursor.execute("SELECT attach_event_trigger(%s)", [TABLE])
    Subscription.objects.create(
        name="bench", company=COMPANY, table=TABLE, handler_type="SEARCH", config={}
    )


def fill(count: int) -> float:
    """Put this many entries of some 40 words into the index; return how many a second."""
    pk = Subscription.objects.get().pk
    began = datetime(2026, 1, 1, tzinfo=UTC)
    entries = (
        Entry(
            subscription_id=pk,
            company=COMPANY,
            table=TABLE,
            record_key=f'"{number}"',
            seq=number,
            content=Content(_title(number), _body(number), {}, f"/customers/{number}"),
            changed_at=began + timedelta(seconds=number),
        )
        for number in range(1, count + 1)
    )
    started = time.perf_counter()
    while batch := list(islice(entries, BATCH)):
        index.put(batch)
    took = time.perf_counter() - started
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) event_system_search_entry")
    return count / took


def _word(source: random.Random, syllables: int) -> str:
    return "".join(source.choices(SYLLABLES, k=syllables))


def _title(number: int) -> str:
    source = random.Random(number)  # noqa: S311 - the same each time
    return f"{_word(source, 4)} {_word(source, 2)} {source.choice(ENDINGS)}".title()


def _body(number: int) -> str:
    source = random.Random(-number)  # noqa: S311 - the same each time
    # Few words are frequent, most are rare, as in any language.
    return " ".join(VOCABULARY[int(len(VOCABULARY) * source.random() ** 3)] for _ in range(40))


VOCABULARY = [_word(random.Random(f"word {n}"), 3) for n in range(5000)]  # noqa: S311 - the same

# What is typed to find entry `number`, or many.
KINDS: dict[str, Callable[[int], str]] = {
    "name": _title,
    "beginnings": lambda number: " ".join(word[:5] for word in _title(number).split()[:2]),
    "mistyped": lambda number: _title(number)[:3] + _title(number)[4:9],
    "frequent": lambda number: ENDINGS[number % len(ENDINGS)],
    "letter": lambda number: SYLLABLES[number % len(SYLLABLES)][0],
    "body": lambda number: VOCABULARY[number % 1000],
}


def searches(kind: str, count: int) -> float:
    """Search for what finds entries spread over all; return the median of the milliseconds."""
    return median(_timed(lambda text: search(COMPANY, text), kind, count))


def bare(kind: str, count: int) -> float:
    """Do the same by ILIKE, which finds no mistyped name and knows no order but the newest."""
    return median(_timed(_ilike, kind, count))


def _ilike(text: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(BARE, [COMPANY, f"%{text}%", f"%{text}%"])
        found: list[Any] = cursor.fetchall()
    return found


def _timed(find: Callable[[str], list[Any]], kind: str, count: int) -> list[float]:
    figures = []
    for turn in range(SEARCHES):
        text = KINDS[kind](1 + turn * (count // SEARCHES))
        began = time.perf_counter()
        found = find(text)
        figures.append((time.perf_counter() - began) * 1000)
        if not found and find is not _ilike:
            raise BenchError(f"nothing was found for {text!r}")
    return figures


HANDLERS = {"prepare": prepare, "fill": fill, "searches": searches, "bare": bare}
