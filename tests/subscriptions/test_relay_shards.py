"""Relays that share an outbox: each company's events are read by one of them."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from subscriptions import cursor
from subscriptions import shards as shards_module
from subscriptions.errors import ShardsInUse
from subscriptions.models import Delivery, Event, RelayCursor
from subscriptions.relay import relay_all, relay_once
from subscriptions.relaying import Relay
from subscriptions.routing import Router
from subscriptions.shards import WHOLE, Share
from tests.subscriptions.conftest import Messages, Sql, connect
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

COMPANIES = [f"company-{n}" for n in range(12)]
Offered = list[int]


@pytest.fixture
def router(orders: str, subscribe: Callable[..., int], messages: Messages) -> Router:
    """One subscription of the platform: each event has one delivery."""
    subscribe(None)
    return Router()


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Offered:
    """What was offered to runs, which no unique key protects: each event once."""
    found: Offered = []
    monkeypatch.setattr(
        "subscriptions.runs.offer", lambda events: found.extend(event.seq for event in events)
    )
    return found


def write(sql: Sql, first: int) -> None:
    """Write an order of each company, with ids from `first`."""
    for number, company in enumerate(COMPANIES, first):
        sql("INSERT INTO orders VALUES (%s, %s, 'x')", number, company)


def shards(number: int) -> list[Share]:
    return [Share(one, number) for one in range(number)]


def read_all(router: Router, number: int) -> int:
    return sum(relay_all(router, share=share).events for share in shards(number))


def all_read_once(offered: Offered) -> bool:
    seqs = sorted(Event.objects.values_list("seq", flat=True))
    deliveries = sorted(Delivery.objects.values_list("event_id", flat=True))
    return sorted(offered) == seqs == deliveries


def test_each_shard_reads_its_companies_only(router: Router, sql: Sql, offered: Offered) -> None:
    write(sql, 1)

    found = []
    for share in shards(3):
        before = len(offered)
        relay_all(router, share=share)
        events = Event.objects.filter(seq__in=offered[before:])
        found.append({event.shard % 3 for event in events})

    assert found == [{0}, {1}, {2}]
    assert all_read_once(offered)
    assert sorted(RelayCursor.objects.values_list("shard", "shards")) == [(0, 3), (1, 3), (2, 3)]


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (3, 2), (2, 4)])
def test_another_number_of_shards_loses_nothing_and_reads_nothing_twice(
    before: int, after: int, router: Router, sql: Sql, offered: Offered
) -> None:
    write(sql, 1)
    read_all(router, before)
    with connect() as slow, slow.transaction():
        slow.execute("INSERT INTO orders VALUES (1000, 'company-1', 'open meanwhile')")
        write(sql, 101)
        # The shards are not equally far: the first has read, and one is in the midst of a page.
        relay_once(router, share=Share(0, before))
        relay_once(router, share=Share(before - 1, before), limit=2)
        write(sql, 201)
        read = len(offered)

        read_all(router, after)

        assert len(offered) > read
    read_all(router, after)

    assert all_read_once(offered)
    assert set(RelayCursor.objects.values_list("shards", "earlier")) == {(after, None)}


def test_two_changes_before_anything_was_read_lose_nothing(
    router: Router, sql: Sql, offered: Offered
) -> None:
    write(sql, 1)
    relay_once(router, share=Share(0, 2))  # shard 1 reads nothing
    with transaction.atomic():
        cursor.hold(Share(2, 3))
    write(sql, 101)
    relay_once(router, share=Share(1, 3), limit=2)
    with transaction.atomic():
        cursor.hold(Share(0, 5))

    read_all(router, 5)

    assert all_read_once(offered)


def test_a_page_of_one_shard_is_read_by_the_index(router: Router, sql: Sql) -> None:
    relay_all(router, share=Share(0, 2))
    write(sql, 1)
    sql("SET enable_seqscan = off")
    plan = "\n".join(line for (line,) in sql(explained()))

    assert "Seq Scan" not in plan
    assert "xid_seq" in plan


def explained() -> str:
    """Return the EXPLAIN of a page of a shard, with an open transaction in its snapshot."""
    values = {
        "seen": "'10:20:15'",
        "reading": "pg_current_snapshot()",
        "last": "0",
        "limit": "10",
        "shards": "2",
        "shard": "0",
    }
    position = cursor.Position(Share(0, 2), "10:20:15", "", 0, None)
    return "EXPLAIN " + cursor._page(position) % values


def restore(sql: Sql) -> None:
    """Make all look as restored from a cluster that had spent a thousand million ids more."""
    sql("UPDATE event_system_event SET xid = (xid::text::bigint + 1000000000)::text::xid8")
    later = (
        "concat_ws(':', pg_snapshot_xmin({0})::text::bigint + 1000000000,"
        " pg_snapshot_xmax({0})::text::bigint + 1000000000,"
        " (SELECT coalesce(string_agg((x::text::bigint + 1000000000)::text, ','), '')"
        " FROM pg_snapshot_xip({0}) AS x))::pg_snapshot"
    )
    sql(
        f"UPDATE event_system_relay_cursor SET seen = {later.format('seen')},"  # noqa: S608 - ours
        f" reading = {later.format('reading')}, system_identifier = 1"
    )


@contextmanager
def written_before(statement: str, sql: Sql, first: int) -> Iterator[None]:
    """Write orders by another connection right before the relay's statement."""

    def interfere(execute: Any, asked: Any, *others: Any) -> Any:
        if asked == statement:
            write(sql, first)
        return execute(asked, *others)

    with connection.execute_wrapper(interfere):
        yield


def test_after_a_restore_every_shard_goes_on(router: Router, sql: Sql, offered: Offered) -> None:
    write(sql, 1)
    relay_all(router, share=Share(0, 2))
    write(sql, 101)
    with connect() as slow, slow.transaction():
        slow.execute("INSERT INTO orders VALUES (1000, 'company-1', 'open meanwhile')")
        relay_once(router, share=Share(0, 2), limit=2)
    restore(sql)

    read_all(router, 2)
    write(sql, 201)
    read_all(router, 2)

    assert all_read_once(offered)


@pytest.mark.parametrize("statement", [shards_module.REBASE_EVENTS, shards_module.REBASE_CURSORS])
def test_what_is_written_after_a_restore_is_read(
    statement: str, router: Router, sql: Sql, offered: Offered
) -> None:
    write(sql, 1)
    relay_all(router)
    write(sql, 101)  # the dump has these unread
    restore(sql)
    write(sql, 201)  # before any relay runs, with ids that the dumped cursor has passed
    sql(
        'INSERT INTO event_system_event (source, company, "table", operation, recorded_at)'
        " VALUES ('sql', 'company-1', 'orders', 'INSERT', '2020-01-01')"
    )
    with connect() as slow, slow.transaction():
        slow.execute("INSERT INTO orders VALUES (1000, 'company-1', 'open meanwhile')")
        with written_before(statement, sql, 301):
            relay_all(router)
        write(sql, 401)
    relay_all(router)

    assert all_read_once(offered)


def test_events_restored_without_their_cursor_are_read(
    router: Router, sql: Sql, offered: Offered
) -> None:
    write(sql, 1)
    restore(sql)
    write(sql, 101)

    relay_all(router)
    write(sql, 201)
    relay_all(router)

    assert all_read_once(offered)


def test_shards_that_cannot_be_are_refused() -> None:
    for shard, number in ((0, 0), (2, 2), (-1, 2), (0, 1025)):
        with pytest.raises(ValueError, match="there may be 1 to 1024 shards"):
            Share(shard, number)


@pytest.fixture
def running() -> Iterator[Callable[..., threading.Event]]:
    """Start relays in threads; returns what stops each."""
    started: list[tuple[threading.Event, threading.Thread]] = []

    def start(**options: int) -> threading.Event:
        stop = threading.Event()
        thread = threading.Thread(target=Relay(stop, **options).run)
        thread.start()
        started.append((stop, thread))
        return stop

    yield start
    for stop, thread in started:
        stop.set()
        thread.join(20)


def led(sql: Sql) -> list[int]:
    """Return the keys of the locks that relays lead by."""
    return [
        int(key)
        for (key,) in sql(
            "SELECT l.objid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND d.datname = current_database() ORDER BY 1"
        )
    ]


def test_relays_without_a_number_take_what_is_free(
    router: Router, sql: Sql, running: Callable[..., threading.Event]
) -> None:
    running(shards=2)
    running(shards=2)
    keys = [share.lock[1] for share in shards(2)]
    wait_until(lambda: led(sql) == keys, what="each leads one")

    write(sql, 1)

    wait_until(lambda: Delivery.objects.count() == len(COMPANIES), what="all are read")


def test_relays_of_another_number_wait_until_the_others_have_ended(
    router: Router, sql: Sql, running: Callable[..., threading.Event], offered: Offered
) -> None:
    stop = running(shards=1)
    wait_until(lambda: RelayCursor.objects.exists(), what="the first leads")
    wait_until(lambda: led(sql) == [WHOLE.lock[1]], what="its lock")
    with pytest.raises(ShardsInUse, match="--shards 1 still run"), transaction.atomic():
        cursor.hold(Share(0, 2))
    write(sql, 1)
    running(shards=2, shard=0)
    running(shards=2, shard=1)

    stop.set()

    wait_until(lambda: RelayCursor.objects.count() == 2, what="the new cursors")
    write(sql, 101)
    wait_until(lambda: Delivery.objects.count() == 2 * len(COMPANIES), what="all are read")
    assert all_read_once(offered)
