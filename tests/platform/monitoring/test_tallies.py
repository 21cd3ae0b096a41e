"""What is counted: everything once, however many processes look, with few labels."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from counterpoint.models import Tally, TallyLabel, TallyMark
from counterpoint.monitoring import tallies
from tests.platform.monitoring.rows import (
    count_all,
    make_delivery,
    make_event,
    make_run,
    make_try,
    sql,
    tallied,
)
from tests.subscriptions.conftest import connect

AT_ONCE = timedelta()


@pytest.fixture
def begun(db: None) -> None:
    tallies.turn(every=AT_ONCE)


@pytest.mark.usefixtures("begun")
def test_tries_are_counted_by_handler_type_company_and_outcome() -> None:
    delivery = make_delivery(make_event())
    make_try(delivery, status="failed")
    make_try(delivery, status="delivered", duration=timedelta(seconds=3))

    count_all()

    names = ("handler", "type", "company", "outcome")
    assert tallied("attempts", *names) == {
        ("WEBHOOK", "booking.created", "acme", "failed"): 1,
        ("WEBHOOK", "booking.created", "acme", "delivered"): 1,
    }
    assert tallied("deliveries", *names) == {("WEBHOOK", "booking.created", "acme", "delivered"): 1}
    assert tallied("attempts", "outcome", "bucket") == {("failed", 2): 1, ("delivered", 6): 1}


@pytest.mark.usefixtures("begun")
def test_what_has_been_counted_is_not_counted_again() -> None:
    make_try(make_delivery(make_event()))
    make_run(status="succeeded")

    for _ in range(3):
        count_all()

    assert tallied("attempts") == {(): 1}
    assert tallied("runs") == {(): 1}


@pytest.mark.usefixtures("begun")
def test_a_delivery_of_an_old_event_is_found_in_its_partition() -> None:
    make_try(make_delivery(make_event(), age=timedelta(days=3)))

    count_all()

    # The event itself is gone by its time: its type is not known any more.
    assert tallied("deliveries", "handler", "type", "bucket") == {("WEBHOOK", "", 12): 1}


@pytest.mark.usefixtures("begun")
@pytest.mark.parametrize("status", ["dead", "expired", "canceled", "superseded", "blocked"])
def test_a_delivery_that_ends_otherwise_is_counted_under_its_status(status: str) -> None:
    ended = None if status == "blocked" else timedelta()
    make_delivery(make_event(), status=status, ended=ended)

    count_all()

    assert tallied("deliveries", "outcome") == {(status,): 1}


@pytest.mark.usefixtures("begun")
def test_runs_are_counted_by_workflow_company_and_outcome() -> None:
    hour = timezone.now() - timedelta(hours=1)
    make_run(workflow="book", company="acme", status="succeeded", created_at=hour)
    make_run(workflow="book", company=None, status="failed")
    make_run(workflow="book", company="acme", status="running")

    count_all()

    assert tallied("runs", "type", "company", "outcome", "bucket") == {
        ("book", "acme", "succeeded", 11): 1,
        ("book", "_platform", "failed", 0): 1,
    }


@pytest.mark.usefixtures("begun")
def test_only_so_many_companies_have_labels_of_their_own(settings: Settings) -> None:
    settings.METRICS_COMPANIES = 2
    for company, runs in (("small", 1), ("large", 3), ("middle", 2)):
        for _ in range(runs):
            make_run(company=company, status="succeeded")
    count_all()
    make_run(company="small", status="succeeded")
    make_run(company="new", status="succeeded")
    count_all()

    assert tallied("runs", "company") == {("large",): 3, ("middle",): 2, ("_other",): 3}


@pytest.mark.usefixtures("begun")
def test_a_label_that_is_not_used_any_more_is_given_back(settings: Settings) -> None:
    settings.METRICS_COMPANIES = 1
    make_run(company="gone", status="succeeded")
    count_all()
    Tally.objects.update(changed_at=timezone.now() - timedelta(days=31))

    tallies.forget()
    make_run(company="here", status="succeeded")
    count_all()

    assert tallied("runs", "company") == {("here",): 1}
    assert list(TallyLabel.objects.filter(kind="company").values_list("value", flat=True)) == [
        "here"
    ]


@pytest.mark.usefixtures("begun")
def test_a_clock_that_was_set_back_keeps_nothing_from_being_counted() -> None:
    sql("UPDATE counterpoint_tallymark SET at = at + interval '1 hour'")
    tallies.turn(every=AT_ONCE)
    make_run(status="succeeded")
    make_try(make_delivery(make_event()))
    count_all()

    assert tallied("attempts") == tallied("runs") == {(): 1}


@pytest.mark.usefixtures("begun")
def test_a_turn_soon_after_another_counts_nothing() -> None:
    make_run(status="succeeded")

    assert tallies.turn() is False
    assert tallied("runs") == {}


@pytest.fixture
def other(transactional_db: None) -> Iterator[Any]:
    """A connection of another process."""
    tallies.turn(every=AT_ONCE)
    with connect() as opened:
        yield opened


INSERT_EVENT = "INSERT INTO event_system_event (source, type) VALUES ('test', %s)"


def test_an_event_that_commits_late_is_counted_once_when_it_does(other: Any) -> None:
    with other.transaction():
        other.execute(INSERT_EVENT, ["late"])
        sql(INSERT_EVENT, "early")
        tallies.turn(every=AT_ONCE)
        assert tallied("events", "type") == {("early",): 1}
    tallies.turn(every=AT_ONCE)
    tallies.turn(every=AT_ONCE)

    assert tallied("events", "type") == {("early",): 1, ("late",): 1}


def test_what_an_open_transaction_may_still_write_is_waited_for(other: Any) -> None:
    delivery = make_delivery(make_event())
    with other.transaction():
        other.execute(
            "INSERT INTO event_system_delivery_attempt (delivery_id, generation, number, status,"
            " started_at, duration) VALUES (%s, 1, 1, 'failed', clock_timestamp(), '1 s')",
            [delivery],
        )
        make_run(status="succeeded")
        make_try(delivery)
        count_all()
        assert tallied("attempts") == tallied("runs") == {}
    count_all()

    assert tallied("attempts", "outcome") == {("failed",): 1, ("delivered",): 1}
    assert tallied("runs") == {(): 1}


def test_a_transaction_left_open_for_long_is_waited_for_no_longer(other: Any) -> None:
    with other.transaction():
        other.execute("SELECT 1")
        make_try(make_delivery(make_event()))
        sql("UPDATE counterpoint_tallymark SET at = at - interval '2 minutes'")
        count_all()
        sql("UPDATE counterpoint_tallymark SET at = at - interval '2 minutes'")
        count_all()

        assert tallied("attempts") == {(): 1}


def test_two_that_count_at_once_count_everything_once(other: Any) -> None:
    for _ in range(5):
        make_run(status="succeeded")
    barrier = threading.Barrier(4)

    def count() -> None:
        barrier.wait(10)
        try:
            tallies.turn(every=AT_ONCE)
        finally:
            connection.close()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    count_all()

    assert tallied("runs") == {(): 5}


@pytest.mark.usefixtures("begun")
def test_a_restored_database_is_counted_from_where_it_stands() -> None:
    TallyMark.objects.filter(source="tries").update(number=10**12, ceiling=10**12)
    TallyMark.objects.filter(source="events").update(snapshot="9999999999:9999999999:")
    count_all()
    make_try(make_delivery(make_event()))

    count_all()

    assert tallied("attempts") == {(): 1}
