"""The days of the outbox: made ahead, emptied when nobody needs them, and nobody waits for it."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

import psycopg
import pytest

from subscriptions import partitions, retention
from subscriptions.partitions import ATTEMPT, DELIVERY, EVENT, KEYS, make_ahead, today
from subscriptions.relay import relay_all
from subscriptions.retention import empty_past
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql, connect

pytestmark = pytest.mark.django_db(transaction=True)

KEEP = timedelta(days=7)
LONG_AGO = 20  # days


@pytest.fixture(autouse=True)
def as_migrated(transactional_db: None) -> Iterator[None]:
    """Drop what a test made beside the partitions that the migration makes."""
    before = {table: set(found) for table, found in partitions.days().items()}
    yield
    with connect() as cleaner:
        for table, found in partitions.days().items():
            cleaner.execute(f"TRUNCATE {table}")
            for day in set(found) - before[table]:
                cleaner.execute(f"DROP TABLE {table}_{day:%Y%m%d}")


@pytest.fixture
def old_day(sql: Sql) -> date:
    """A day past retention that has a partition of each table."""
    day = today() - timedelta(days=LONG_AGO)
    for table in KEYS:
        sql("SELECT event_system_make_partition(%s, %s)", table, day)
    return day


def write(
    connection: psycopg.Connection[tuple[object, ...]], day: date, *, status: str = "delivered"
) -> None:
    """Write an event of that day, a delivery of it and an attempt."""
    with connection.transaction():
        connection.execute(
            """
            WITH e AS (
                INSERT INTO event_system_event (source, company, type, recorded_at)
                VALUES ('test', 'acme', 't', %(day)s::date + time '12:00') RETURNING *),
            d AS (
                INSERT INTO event_system_delivery (event_at, event_seq, event_id, subscription_id,
                    handler_type, status, attempts)
                SELECT recorded_at, seq, id, 1, 'WEBHOOK', %(status)s, 1 FROM e RETURNING *)
            INSERT INTO event_system_delivery_attempt
                (delivery_id, generation, number, status, started_at, duration)
            SELECT id, 1, 1, 'failed', event_at, '1 s' FROM d""",
            {"day": day, "status": status},
        )


def rows(sql: Sql, day: date) -> list[int]:
    """Return how many events, deliveries and attempts there are of that day."""
    return [
        sql(f"SELECT count(*) FROM {table} WHERE {key} >= %s AND {key} < %s", day, day + timedelta(days=1))[0][0]  # noqa: S608, E501 - ours
        for table, key in KEYS.items()
    ]  # fmt: skip


def test_the_migration_made_todays_and_tomorrows(sql: Sql) -> None:
    first = today()
    for found in partitions.days().values():
        assert first in found  # alone, if midnight has passed since

    sql("INSERT INTO event_system_event (source, type) VALUES ('test', 't')")

    assert sql("SELECT count(*) FROM event_system_event_default") == [(0,)]


def test_the_coming_days_are_made_as_the_parent_is(sql: Sql) -> None:
    make_ahead(3)
    assert make_ahead(3) == 0  # all are there

    last = today() + timedelta(days=3)
    for table, found in partitions.days().items():
        assert last in found
        assert definition(sql, f"{table}_{last:%Y%m%d}") == definition(sql, f"{table}_default")


def definition(sql: Sql, partition: str) -> tuple[object, ...]:
    columns = sql(
        "SELECT attname::text, attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute a"
        " LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname",
        partition,
    )
    indexes = sql(
        "SELECT p.inhparent::regclass::text, reloptions FROM pg_index i"
        " JOIN pg_inherits p ON p.inhrelid = i.indexrelid JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE indrelid = %s::regclass ORDER BY 1",
        partition,
    )
    return columns, indexes


def test_a_day_with_rows_in_default_stays_there(sql: Sql) -> None:
    day = today() + timedelta(days=3)
    with connect() as writer:
        write(writer, day)

    make_ahead(3)

    assert all(day not in found for found in partitions.days().values())
    assert rows(sql, day) == [1, 1, 1]


def test_a_large_default_is_not_looked_through_under_a_lock(
    sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import connection

    with connect() as writer:
        write(writer, today() - timedelta(days=LONG_AGO))
    monkeypatch.setattr(partitions, "SMALL_DEFAULT", 0)
    notices: list[str] = []
    connection.ensure_connection()
    connection.connection.add_notice_handler(lambda n: notices.append(n.message_primary))
    sql_settings = connection.cursor()
    sql_settings.execute("SET client_min_messages = debug1")

    make_ahead(3)

    sql_settings.execute("RESET client_min_messages")
    assert all(today() + timedelta(days=3) in found for found in partitions.days().values())
    for table in KEYS:
        implied = (
            f'updated partition constraint for default partition "{table}_default" is implied by'
            " existing constraints"
        )
        assert implied in notices
        assert sql(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'"
            " AND conname = %s",
            f"{table}_default",
            partitions.HOLE,
        ) == []  # fmt: skip


def test_a_hole_left_by_a_relay_that_died_is_closed(sql: Sql) -> None:
    sql(
        f"ALTER TABLE event_system_event_default ADD CONSTRAINT {partitions.HOLE}"
        " CHECK (recorded_at < '2020-01-01') NOT VALID"
    )

    make_ahead(1)

    day = today() - timedelta(days=LONG_AGO)
    with connect() as writer:
        write(writer, day)
    assert rows(sql, day) == [1, 1, 1]


def test_making_days_holds_up_no_writer_and_waits_for_none(sql: Sql) -> None:
    with connect() as busy, busy.transaction():
        write(busy, today())
        write(busy, today() - timedelta(days=LONG_AGO))  # in DEFAULT: ATTACH cannot lock that
        make_ahead(3)
        sql("SET lock_timeout = '1s'")
        sql("INSERT INTO event_system_event (source, type) VALUES ('test', 't')")
    assert all(today() + timedelta(days=3) not in found for found in partitions.days().values())

    make_ahead(3)

    assert all(today() + timedelta(days=3) in found for found in partitions.days().values())


@pytest.fixture
def read(sql: Sql, messages: Messages) -> Callable[[], object]:
    """Let the relay read all there is."""
    router = Router()
    return lambda: relay_all(router)


def test_a_day_that_nobody_needs_is_emptied_and_dropped(
    old_day: date, sql: Sql, read: Callable[[], object]
) -> None:
    with connect() as writer:
        for day in (old_day, today() - KEEP, today()):
            write(writer, day)
    read()

    assert empty_past(KEEP) == 3

    assert rows(sql, old_day) == [0, 0, 0]
    assert rows(sql, today() - KEEP) == rows(sql, today()) == [1, 1, 1]
    assert all(old_day not in found for found in partitions.days().values())


@pytest.mark.parametrize("status", ["pending", "running", "retrying", "waiting", "queued", "held"])
def test_a_day_with_an_open_delivery_stays(
    status: str, old_day: date, sql: Sql, read: Callable[[], object]
) -> None:
    other = old_day + timedelta(days=1)
    for table in KEYS:
        sql("SELECT event_system_make_partition(%s, %s)", table, other)
    with connect() as writer:
        write(writer, old_day)
        write(writer, old_day, status=status)
        write(writer, other)
    read()

    empty_past(KEEP)

    assert rows(sql, old_day) == [2, 2, 2]
    assert rows(sql, other) == [0, 0, 0]

    sql("UPDATE event_system_delivery SET status = 'dead' WHERE status <> 'delivered'")
    empty_past(KEEP)
    assert rows(sql, old_day) == [0, 0, 0]


def test_a_day_with_an_unread_event_stays(
    old_day: date, sql: Sql, read: Callable[[], object]
) -> None:
    with connect() as writer:
        write(writer, old_day)
        assert empty_past(KEEP) == 1  # there is no cursor: only what is no event goes
        assert rows(sql, old_day) == [1, 1, 0]
        read()
        with writer.transaction():
            write(writer, old_day)
            read()  # with the writer open: what it wrote is not read
        empty_past(KEEP)
        assert rows(sql, old_day)[:2] == [2, 2]
    read()

    empty_past(KEEP)

    assert rows(sql, old_day) == [0, 0, 0]


def test_a_day_that_somebody_writes_to_stays_and_nobody_waits(
    old_day: date, sql: Sql, read: Callable[[], object]
) -> None:
    with connect() as writer:
        write(writer, old_day)
        read()
        with writer.transaction():
            write(writer, old_day)
            assert empty_past(KEEP) == 0
            sql("SET lock_timeout = '1s'")
            sql("INSERT INTO event_system_event (source, type) VALUES ('test', 't')")
    assert rows(sql, old_day) == [2, 2, 2]


def test_an_empty_day_is_kept_while_its_table_is_in_use(
    old_day: date, sql: Sql, read: Callable[[], object]
) -> None:
    read()
    with connect() as busy, busy.transaction():
        for table in (EVENT, DELIVERY, ATTEMPT):
            busy.execute(f"SELECT FROM {table} LIMIT 1")
        empty_past(KEEP)
        assert all(old_day in found for found in partitions.days().values())

    empty_past(KEEP)

    assert all(old_day not in found for found in partitions.days().values())


def test_default_is_emptied_when_all_of_it_is_past(sql: Sql, read: Callable[[], object]) -> None:
    past, recent = today() - timedelta(days=LONG_AGO), today() - timedelta(days=2)
    with connect() as writer:
        write(writer, past)
        write(writer, recent)  # there is no partition of that day either
        read()
        empty_past(KEEP)
        assert rows(sql, past) == [1, 1, 1]

        sql("DELETE FROM event_system_event WHERE recorded_at >= %s", recent)
        sql("DELETE FROM event_system_delivery WHERE event_at >= %s", recent)
        sql("DELETE FROM event_system_delivery_attempt WHERE started_at >= %s", recent)
    empty_past(KEEP)

    assert rows(sql, past) == [0, 0, 0]


def test_what_changes_before_the_lock_is_seen_under_it(
    old_day: date, sql: Sql, read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect() as writer:
        write(writer, old_day)
        read()
        answered = retention._is_read_and_closed
        looks = 0

        def and_then_written(*given: object) -> bool:
            nonlocal looks
            found = answered(*given)  # type: ignore[arg-type]
            looks += 1
            if looks == 1:
                write(writer, old_day, status="held")
            return found

        monkeypatch.setattr(retention, "_is_read_and_closed", and_then_written)
        empty_past(KEEP)

    assert looks == 2
    assert rows(sql, old_day)[:2] == [2, 2]


def test_keeping_the_days_waits_for_nobody_who_alters_a_table(
    old_day: date, sql: Sql, read: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "SMALL_DEFAULT", -1)
    with connect() as writer:
        write(writer, old_day)
    read()
    sql(
        f"ALTER TABLE {EVENT}_default ADD CONSTRAINT {partitions.HOLE}"
        " CHECK (recorded_at < '2020-01-01') NOT VALID"
    )
    with connect() as altering, altering.transaction():
        for table in KEYS:
            altering.execute(f"LOCK TABLE {table}_default, {table}_{old_day:%Y%m%d}")

        assert make_ahead(3) == 0
        assert empty_past(KEEP) == 0

    assert make_ahead(3) > 0
    assert empty_past(KEEP) == 3


def test_open_deliveries_of_old_attempts_are_found_by_indexes(old_day: date, sql: Sql) -> None:
    sql(
        "INSERT INTO event_system_delivery (event_at, event_seq, event_id, subscription_id,"
        " handler_type, attempts, status)"
        " SELECT %s::date, n, gen_random_uuid(), 1, 'WEBHOOK', 1, CASE n %% 1000"
        " WHEN 0 THEN 'held' WHEN 1 THEN 'retrying' ELSE 'delivered' END"
        " FROM generate_series(1, 10000) AS n",
        old_day,
    )
    sql("ANALYZE event_system_delivery")
    span = partitions.Span(old_day, old_day + timedelta(days=1)).bounds
    asked = retention.OPEN_WITH_ATTEMPTS % {name: f"'{at}'" for name, at in span.items()}

    plan = "\n".join(line for (line,) in sql(f"EXPLAIN {asked}"))

    partition = f"{DELIVERY}_{old_day:%Y%m%d}"
    assert plan.count(f" on {partition} ") == 2
    assert f"Seq Scan on {partition} " not in plan
    assert f"{DELIVERY}_{today():%Y%m%d}" not in plan
