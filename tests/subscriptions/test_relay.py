"""The relay: what it reads, in which order, and what a crash leaves behind."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from subscriptions import relay
from subscriptions.cursor import Glance
from subscriptions.deliveries.delivery import deliver
from subscriptions.models import Delivery, Event, RelayCursor, Subscription
from subscriptions.relay import relay_all, relay_once
from subscriptions.relaying import Relay
from subscriptions.routing import Router
from subscriptions.shards import WHOLE
from tests.subscriptions.conftest import Messages, Sql, connect

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def router() -> Router:
    return Router()


def delivered_records() -> list[Any]:
    """Return the record ids of all deliveries in the order in which they were made."""
    return list(Delivery.objects.order_by("id").values_list("event__record_id", flat=True))


def test_an_event_goes_to_the_subscriptions_of_its_company(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    mine = subscribe("acme")
    filtered = subscribe("acme", name="confirmed", filter='{"status": "confirmed"}')
    subscribe("acme", name="open", filter='{"status": "open"}')
    subscribe("other")
    platform = subscribe(None)

    sql("INSERT INTO orders VALUES (1, 'acme', 'confirmed')")
    turn = relay_all(router)

    assert set(Delivery.objects.values_list("subscription_id", flat=True)) == {
        mine,
        filtered,
        platform,
    }
    assert (turn.events, turn.deliveries) == (1, 3)
    assert sorted(messages.ids) == sorted(Delivery.objects.values_list("id", flat=True))
    assert {queue for queue, _ in messages.sent} == {"webhooks"}


def test_a_subscription_made_by_sql_is_used_by_the_next_event(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe("other")
    relay_all(router)
    for _ in range(2):
        sql("""
            INSERT INTO event_system_subscription (name, company, "table", handler_type, config)
            VALUES ('s', 'acme', 'orders', 'WEBHOOK', '{"url": "https://example.com/"}')
            ON CONFLICT (company, name) DO NOTHING""")

    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)

    assert [d.subscription.name for d in Delivery.objects.select_related("subscription")] == ["s"]
    assert (Subscription.objects.get(name="s").secret or "").startswith("whsec_")


def test_an_inactive_subscription_gets_nothing(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    relay_all(router)
    sql("UPDATE event_system_subscription SET active = false")

    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)

    assert not Delivery.objects.exists()
    assert sql("SELECT FROM event_system_interest WHERE \"table\" = 'orders'") == []


def test_a_paused_subscription_is_matched_and_held(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    sql("UPDATE event_system_subscription SET paused_at = now()")

    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)

    assert [d.status for d in Delivery.objects.all()] == [Delivery.Status.HELD]
    assert messages.sent == []


def test_a_chain_of_events_ends_at_depth_ten(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    sql("SET counterpoint.depth = '10'")
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    sql("SET counterpoint.depth = '11'")
    sql("INSERT INTO orders VALUES (2, 'acme', 'x')")

    relay_all(router)

    assert list(Delivery.objects.order_by("id").values_list("status", flat=True)) == [
        Delivery.Status.PENDING,
        Delivery.Status.BLOCKED,
    ]


def test_what_sql_cannot_check_is_marked_invalid_and_never_delivered(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe(name="type", handler_type="FAX")
    subscribe(name="key", config='{"url": "https://example.com/", "colour": "red"}')
    subscribe(name="column", filter='{"colour": "red"}')

    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)

    reasons = dict(Subscription.objects.values_list("name", "invalid_reason"))
    assert "handler_type: handler type 'FAX' does not exist" in str(reasons["type"])
    assert "config.colour" in str(reasons["key"])
    assert "filter: there is no colour; there are: company, id, status" in str(reasons["column"])
    assert not Delivery.objects.exists()

    sql("UPDATE event_system_subscription SET filter = '{}' WHERE name = 'column'")
    sql("INSERT INTO orders VALUES (2, 'acme', 'x')")
    relay_all(router)

    assert Subscription.objects.get(name="column").invalid_reason is None
    assert delivered_records() == ["2"]


def test_an_event_that_commits_late_is_not_lost_and_delays_no_other(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    with connect() as slow:
        with slow.transaction():
            slow.execute("INSERT INTO orders VALUES (1, 'acme', 'early, but open')")
            sql("INSERT INTO orders VALUES (2, 'acme', 'late, but committed')")
            relay_all(router)
            assert delivered_records() == ["2"]
        sql("INSERT INTO orders VALUES (3, 'acme', 'x')")

    relay_all(router)

    assert delivered_records() == ["2", "1", "3"]


def test_the_events_of_a_record_keep_their_order_over_pages(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    sql("INSERT INTO orders SELECT n, 'acme', '0' FROM generate_series(1, 5) n")
    for change in range(1, 6):
        sql("UPDATE orders SET status = %s", str(change))

    while relay_once(router, limit=7).events:
        pass

    by_record: dict[Any, list[str]] = {}
    for delivery in Delivery.objects.select_related("event").order_by("id"):
        new: Any = delivery.event.new
        by_record.setdefault(delivery.event.record_id, []).append(new["status"])
    assert by_record == {str(n): list("012345") for n in range(1, 6)}


def test_concurrent_writers_lose_nothing_and_double_nothing(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    writers, rounds = 4, 25
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            with connect() as mine:
                for change in range(rounds):
                    with mine.transaction():
                        key = number * 1000 + change
                        mine.execute("INSERT INTO orders VALUES (%s, 'acme', 'a')", [key])
                        with mine.transaction(force_rollback=change % 3 == 0):
                            mine.execute("UPDATE orders SET status = 'b' WHERE id = %s", [key])
                        mine.execute("UPDATE orders SET status = 'c' WHERE id = %s", [key])
        except BaseException as error:  # shown by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=[number]) for number in range(writers)]
    for thread in threads:
        thread.start()
    read = 0
    while any(thread.is_alive() for thread in threads):
        read += relay_once(router, limit=13).events
    for thread in threads:
        thread.join()
    read += relay_all(router).events

    assert failures == []
    assert read == Event.objects.count()
    seen: dict[Any, list[str]] = {}
    for delivery in Delivery.objects.select_related("event").order_by("id"):
        new: Any = delivery.event.new
        seen.setdefault(delivery.event.record_id, []).append(new["status"])
    assert seen == {
        str(number * 1000 + change): ["a", "c"] if change % 3 == 0 else ["a", "b", "c"]
        for number in range(writers)
        for change in range(rounds)
    }


def test_a_prepared_transaction_is_told_when_it_commits(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    if sql("SHOW max_prepared_transactions") == [("0",)]:
        pytest.skip("this server has no prepared transactions")
    subscribe()
    with connect() as other:
        other.execute("BEGIN")
        other.execute("INSERT INTO orders VALUES (1, 'acme', 'x')")
        other.execute("PREPARE TRANSACTION 'relay'")
        sql("INSERT INTO orders VALUES (2, 'acme', 'x')")
        relay_all(router)
        other.execute("COMMIT PREPARED 'relay'")

    relay_all(router)

    assert delivered_records() == ["2", "1"]


def test_a_relay_killed_before_its_commit_has_done_nothing(
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    router: Router,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscribe()
    relay_all(router)
    sql("INSERT INTO orders VALUES (1, 'acme', 'x'), (2, 'acme', 'x')")

    def killed(*_: object) -> None:
        # What the server sees of a kill -9 between the insert and the commit.
        sql("SELECT pg_terminate_backend(%s)", connection.connection.info.backend_pid)

    with monkeypatch.context() as crash:
        crash.setattr(relay, "_move_on", killed)
        with pytest.raises((OperationalError, InterfaceError)):
            relay_once(router)
    connection.close()
    assert not Delivery.objects.exists()
    assert messages.sent == []

    relay_all(router)

    assert delivered_records() == ["1", "2"]
    assert len(messages.ids) == 2


def test_a_relay_killed_after_its_commit_leaves_what_the_sweep_sends(
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    router: Router,
) -> None:
    from subscriptions.deliveries import sweeping

    subscribe()
    messages.refused = True
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)
    assert messages.sent == []
    assert sweeping.sweep() == 0  # not due yet: its message may be on its way
    messages.refused = False
    Delivery.objects.update(due_at="2020-01-01T00:00:00Z")

    assert sweeping.sweep() == 1

    assert messages.ids == list(Delivery.objects.values_list("id", flat=True))
    assert sweeping.sweep() == 0


def test_a_second_relay_waits_for_the_first_ones_transaction(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    relay_all(router)
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")

    with transaction.atomic():
        relay._read(WHOLE, 10)
        with connect() as other:
            other.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute("SELECT FROM event_system_relay_cursor FOR UPDATE")


def test_polling_an_idle_outbox_writes_nothing(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)
    before = RelayCursor.objects.values().get()
    [(xid,)] = sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")

    for _ in range(5):
        assert relay_once(router).events == 0

    assert RelayCursor.objects.values().get() == before
    assert sql("SELECT pg_snapshot_xmax(pg_current_snapshot())::text") == [(xid,)]


def test_a_look_at_an_outbox_without_events_finds_nothing(orders: str, router: Router) -> None:
    relay_all(router)  # makes the cursor

    assert not Glance().is_unread()


def test_a_look_is_repeated_after_any_commit(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    relay_all(router)
    glance = Glance()
    with connect() as slow, slow.transaction():
        slow.execute("INSERT INTO orders VALUES (1, 'acme', 'x')")
        assert not glance.is_unread()
        sql("CREATE TABLE elsewhere ()")
        sql("DROP TABLE elsewhere")
        assert not glance.is_unread()
        assert not glance.is_unread()

    assert glance.is_unread()
    assert relay_all(router).events == 1
    assert not glance.is_unread()


def test_after_a_restore_into_another_cluster_reading_goes_on(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'read before')")
    relay_all(router)
    sql("INSERT INTO orders VALUES (2, 'acme', 'not read before')")
    # The dump's transaction ids are far ahead of the new cluster's.
    sql("UPDATE event_system_event SET xid = (xid::text::bigint + 1000000000)::text::xid8")
    sql("""
        UPDATE event_system_relay_cursor SET system_identifier = 1,
            seen = concat(pg_snapshot_xmax(seen)::text::bigint + 1000000000, ':',
                pg_snapshot_xmax(seen)::text::bigint + 1000000000, ':')::pg_snapshot,
            reading = concat(pg_snapshot_xmax(reading)::text::bigint + 1000000000, ':',
                pg_snapshot_xmax(reading)::text::bigint + 1000000000, ':')::pg_snapshot""")

    relay_all(router)
    sql("INSERT INTO orders VALUES (3, 'acme', 'new')")
    relay_all(router)

    assert delivered_records() == ["1", "2", "3"]


def test_events_that_are_read_again_have_their_deliveries_once(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe("acme")
    subscribe(None)
    sql("INSERT INTO orders SELECT n, 'acme', 'x' FROM generate_series(1, 300) AS n")
    relay_all(router)
    sql("UPDATE event_system_event SET xid = pg_current_xact_id()")
    sql("INSERT INTO orders VALUES (301, 'acme', 'x')")

    turn = relay_all(router)

    assert (turn.events, turn.deliveries) == (301, 2)
    assert Delivery.objects.count() == 602
    assert sorted(messages.ids) == sorted(Delivery.objects.values_list("id", flat=True))
    assert not sql("SELECT FROM event_system_unroutable")


@pytest.fixture
def running(messages: Messages) -> Iterator[threading.Event]:
    """A relay at work in a thread of its own; set the event to stop it."""
    stop = threading.Event()
    thread = threading.Thread(target=Relay(stop).run)
    thread.start()
    yield stop
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def wait_for(condition: Callable[[], bool], *, what: str) -> None:
    """Poll until the condition holds; fails after the test's own time limit at the latest."""
    pause = threading.Event()
    for _ in range(1000):
        if condition():
            return
        pause.wait(0.02)
    pytest.fail(f"never happened: {what}")


def relay_backends(sql: Sql) -> list[int]:
    return [
        pid
        for (pid,) in sql(
            "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
            " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
        )
    ]


def test_a_running_relay_survives_the_loss_of_its_connection(
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    running: threading.Event,
) -> None:
    subscribe()
    for number in range(1, 4):
        wait_for(lambda: bool(relay_backends(sql)), what="the relay leads")
        sql("INSERT INTO orders VALUES (%s, 'acme', 'x')", number)
        wait_for(lambda n=number: len(messages.ids) == n, what="its message")  # type: ignore[misc]
        for pid in relay_backends(sql):
            sql("SELECT pg_terminate_backend(%s)", pid)

    assert delivered_records() == ["1", "2", "3"]


def test_a_standby_takes_over(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages
) -> None:
    subscribe()
    stops = [threading.Event(), threading.Event()]
    threads = [threading.Thread(target=Relay(stop).run) for stop in stops]
    try:
        threads[0].start()
        wait_for(lambda: len(relay_backends(sql)) == 1, what="the first leads")
        threads[1].start()
        sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
        wait_for(lambda: len(messages.ids) == 1, what="the first's message")
        stops[0].set()
        threads[0].join(10)
        sql("INSERT INTO orders VALUES (2, 'acme', 'x')")
        wait_for(lambda: len(messages.ids) == 2, what="the second's message")
    finally:
        for stop, thread in zip(stops, threads, strict=True):
            stop.set()
            thread.join(10)


@pytest.fixture
def documents(make_table: Callable[..., None], sql: Sql) -> str:
    """A watched table with documents of any kind: documents(id, company, status, doc, raw)."""
    make_table("documents", "id int PRIMARY KEY, company text, status text, doc jsonb, raw json")
    sql("SELECT attach_event_trigger('documents', company => 'company')")
    return "documents"


def test_a_number_of_any_length_is_examined(
    documents: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    subscribe(None, documents, filter='{"status": "x"}')

    sql("INSERT INTO documents VALUES (1, 'odd', 'x', '1e5000'), (2, 'odd', 'y', '-1e5000')")
    sql("INSERT INTO documents VALUES (3, 'acme', 'x', '1')")
    relay_all(router)

    assert delivered_records() == ["1", "3"]
    assert set(Delivery.objects.values_list("status", flat=True)) == {Delivery.Status.PENDING}


@pytest.mark.parametrize(
    "odd", ["[" * 3000 + "]" * 3000, "1e9999999999999999999"], ids=["deep", "exponent"]
)
def test_an_event_that_no_filter_can_examine_stops_nobody_and_is_seen(
    odd: str,
    documents: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    router: Router,
) -> None:
    everything = subscribe("odd", documents)
    filtered = subscribe("odd", documents, name="filtered", filter='{"status": "x"}')
    other = subscribe("acme", documents, filter='{"status": "x"}')

    sql("INSERT INTO documents VALUES (1, 'odd', 'x', NULL, %s), (2, 'acme', 'x', '1', '2')", odd)
    relay_all(router)

    found = {d.subscription_id: d for d in Delivery.objects.all()}
    assert {pk: d.status for pk, d in found.items()} == {
        everything: Delivery.Status.PENDING,
        filtered: Delivery.Status.DEAD,
        other: Delivery.Status.PENDING,
    }
    assert found[filtered].error.startswith("the filter cannot examine the event: ")


@pytest.fixture
def unguarded(sql: Sql) -> Iterator[None]:
    """Subscriptions as a database without the present checks would have them."""
    sql("ALTER TABLE event_system_subscription DISABLE TRIGGER subscription_2_check")
    yield
    sql("ALTER TABLE event_system_subscription ENABLE TRIGGER subscription_2_check")


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("filter", '{"status": ' + "[" * 3000 + "]" * 3000 + "}"),
        ("config", '{"url": 1e5000}'),
        ("backoff", '{"base": 1e5000}'),
        ("backoff", '{"base": 1e4000}'),
        ("debounce", "100000000 years"),
    ],
)
def test_a_subscription_that_cannot_be_read_is_marked_and_stops_nobody(
    column: str,
    value: str,
    unguarded: None,
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    router: Router,
) -> None:
    good = [subscribe(company) for company in ("a", "acme", "b", None)]
    odd = subscribe("odd")
    sql(f"UPDATE event_system_subscription SET {column} = %s WHERE id = %s", value, odd)  # noqa: S608 - ours

    sql("INSERT INTO orders VALUES (1, 'odd', 'x'), (2, 'acme', 'x')")
    relay_all(router)

    found = Delivery.objects.order_by("event_id", "subscription_id")
    subscribers = found.values_list("subscription_id", flat=True)
    assert list(subscribers) == [good[3], good[1], good[3]]
    [(reason,)] = sql("SELECT invalid_reason FROM event_system_subscription WHERE id = %s", odd)
    assert reason


def test_a_subscription_that_became_unreadable_fails_only_its_own_deliveries(
    unguarded: None,
    orders: str,
    sql: Sql,
    subscribe: Callable[..., int],
    messages: Messages,
    router: Router,
) -> None:
    odd = subscribe("odd")
    subscribe("acme", config='{"url": "http://127.0.0.1:9/"}')  # refused without dialling
    sql("INSERT INTO orders VALUES (1, 'odd', 'x'), (2, 'acme', 'x')")
    relay_all(router)
    sql("UPDATE event_system_subscription SET config = '{\"url\": 1e5000}' WHERE id = %s", odd)

    deliver(messages.ids)

    found = {d.company: d for d in Delivery.objects.all()}
    assert found["odd"].status == Delivery.Status.DEAD
    assert found["odd"].error.startswith("the subscription is invalid: the row cannot be read: ")
    assert found["acme"].attempts == 1


def test_a_workflow_input_from_nowhere_is_marked(
    orders: str, sql: Sql, subscribe: Callable[..., int], messages: Messages, router: Router
) -> None:
    config = '{"workflow": "restock/create", "input": {"order": "newest.id"}}'
    subscribe(handler_type="WORKFLOW", config=config)

    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    relay_all(router)

    assert not Delivery.objects.exists()
    reason = Subscription.objects.get().invalid_reason or ""
    assert reason.startswith("config.input.order: ")
    assert "'newest.id' must begin with one of company, " in reason
