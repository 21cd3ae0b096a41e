"""Events that are published later: kept, moved, cancelled, and fired once each."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from pydantic import BaseModel, ValidationError

from jobs.models import Membership
from subscriptions import cancel_scheduled, contracts, event, move_scheduled, publish, scheduled
from subscriptions.errors import CannotSchedule
from subscriptions.models import Event, ScheduledEvent
from subscriptions.relaying import Relay
from tests.subscriptions.conftest import connect
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db

TYPE = "tests.reminder"
LATER = timedelta(days=30)
LIST = "admin:subscriptions_scheduledevent_changelist"
PAGE = "admin:subscriptions_scheduledevent_change"


@pytest.fixture(autouse=True)
def reminder() -> Iterator[type[BaseModel]]:
    @event(TYPE)
    class Reminder(BaseModel):
        number: int

    yield Reminder
    contracts._types.pop(TYPE)


def later(number: int = 1, *, company: str | None = "acme", key: str | None = "visit-1") -> None:
    publish(TYPE, {"number": number}, company=company, key=key, delay=LATER)


def clock() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def fire_all() -> int:
    return scheduled.fire_due(now=clock() + timedelta(days=400))


def told() -> list[tuple[object, ...]]:
    return [
        (event.company, event.key, (event.payload or {}).get("number"))
        for event in Event.objects.order_by("seq")
    ]


def test_an_event_waits_for_its_time_and_is_published_once() -> None:
    waiting = publish(TYPE, {"number": 1}, company="acme", key="visit-1", delay=LATER)
    row = ScheduledEvent.objects.get()

    assert scheduled.fire_due() == 0
    assert scheduled.fire_due(now=clock() + LATER) == 1
    assert fire_all() == 0

    found = Event.objects.get()
    assert (found.type, found.company, found.payload) == (TYPE, "acme", {"number": 1})
    assert (found.version, found.key, found.source) == (1, "visit-1", "code")
    assert (found.source_id, found.timestamp) == (str(waiting), row.due_at)
    assert not ScheduledEvent.objects.exists()


def test_a_time_that_has_passed_means_at_once() -> None:
    publish(TYPE, {"number": 1}, company=None, at=datetime(2024, 4, 15, 14, tzinfo=UTC))

    assert scheduled.fire_due() == 1

    assert told() == [(None, None, 1)]


def test_the_same_key_moves_what_waits_and_replaces_what_it_says() -> None:
    later(1)
    first = ScheduledEvent.objects.get()
    publish(TYPE, {"number": 2}, company="acme", key="visit-1", delay=2 * LATER)

    row = ScheduledEvent.objects.get()
    assert (row.pk, row.payload) == (first.pk, {"number": 2})
    assert row.due_at > first.due_at + LATER - timedelta(minutes=1)


def test_a_key_is_of_one_company_and_one_type(reminder: type[BaseModel]) -> None:
    @event("tests.other")
    class Other(BaseModel):
        pass

    for company in ("acme", "globex", None):
        later(1, company=company)
    publish(Other(), company="acme", key="visit-1", delay=LATER)
    later(1, company=None)
    contracts._types.pop("tests.other")

    assert ScheduledEvent.objects.count() == 4
    assert cancel_scheduled(TYPE, "visit-1", company=None)
    assert cancel_scheduled(reminder, "visit-1", company="acme")
    assert set(ScheduledEvent.objects.values_list("company", "type")) == {
        ("globex", TYPE),
        ("acme", "tests.other"),
    }


def test_without_a_key_each_stands_for_itself() -> None:
    for number in (1, 2):
        later(number, key=None)

    assert fire_all() == 2


def test_what_was_cancelled_or_has_fired_is_not_there_to_cancel_or_move() -> None:
    later()
    assert cancel_scheduled(TYPE, "visit-1", company="acme")
    assert not cancel_scheduled(TYPE, "visit-1", company="acme")
    assert not move_scheduled(TYPE, "visit-1", company="acme", delay=LATER)

    later()
    assert fire_all() == 1
    assert not cancel_scheduled(TYPE, "visit-1", company="acme")


def test_a_moved_event_fires_at_its_new_time_with_what_it_said() -> None:
    later(7)
    assert move_scheduled(TYPE, "visit-1", company="acme", delay=timedelta(days=60))

    assert scheduled.fire_due(now=clock() + timedelta(days=45)) == 0
    assert scheduled.fire_due(now=clock() + timedelta(days=61)) == 1
    assert told() == [("acme", "visit-1", 7)]


def test_it_is_part_of_the_transaction() -> None:
    with transaction.atomic():
        later()
        transaction.set_rollback(True)

    assert not ScheduledEvent.objects.exists()


def test_it_keeps_the_correlation_and_depth_of_who_published_it() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL counterpoint.correlation_id = 'visit'")
        cursor.execute("SET LOCAL counterpoint.depth = '3'")
        later(1)
        publish(TYPE, {"number": 2}, company="acme", delay=LATER, correlation_id="own", depth=1)
        cursor.execute("SET LOCAL counterpoint.correlation_id = ''")
        cursor.execute("SET LOCAL counterpoint.depth = ''")

    fire_all()

    found = Event.objects.order_by("seq").values_list("correlation_id", "depth")
    assert list(found) == [("visit", 3), ("own", 1)]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"delay": timedelta(days=367)}, "year"),
        ({"delay": timedelta(seconds=-1)}, "year"),
        ({"at": datetime(2024, 4, 15, 14)}, "no time zone"),  # noqa: DTZ001 - what is refused
        ({"at": datetime(8999, 1, 1, tzinfo=UTC)}, "year"),
        ({"at": datetime(1, 1, 2, tzinfo=UTC)}, "1900"),
        ({"at": datetime(2027, 1, 1, tzinfo=UTC), "delay": LATER}, "one of the two"),
        ({"delay": LATER, "key": ""}, "1 to 500"),
        ({"delay": LATER, "key": "k" * 501}, "1 to 500"),
    ],
)
def test_a_time_or_key_that_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(CannotSchedule, match=said):
        publish(TYPE, {"number": 1}, company="acme", **given)  # type: ignore[arg-type]

    later()
    with pytest.raises(CannotSchedule, match="year"):
        move_scheduled(TYPE, "visit-1", company="acme", at=datetime(8999, 1, 1, tzinfo=UTC))


def test_what_breaks_its_contract_is_refused_now_and_not_in_a_month() -> None:
    with pytest.raises(ValidationError):
        publish(TYPE, {"number": "many"}, company="acme", delay=LATER)


def test_many_that_are_due_go_in_parts_the_earliest_first() -> None:
    for number in (3, 1, 2):
        publish(TYPE, {"number": number}, company="acme", delay=number * LATER)

    now = clock() + timedelta(days=300)
    assert [scheduled.fire_due(now=now, limit=2) for _ in range(3)] == [2, 1, 0]
    assert [number for _, _, number in told()] == [1, 2, 3]


def test_the_sweep_reads_what_is_due_and_not_what_waits() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO event_system_scheduled_event (type, payload, due_at)"
            " SELECT 'tests.reminder', '{}', now() + n * interval '1 minute'"
            " FROM generate_series(1, 5000) AS n"
        )
        cursor.execute("ANALYZE event_system_scheduled_event")
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + scheduled.FIRE, [None, 1000])
        [plan] = cursor.fetchone()[0]

    # A page of the index for each level; the table has 67.
    assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 10


@pytest.mark.django_db(transaction=True)
def test_sweeps_at_the_same_time_publish_each_event_once() -> None:
    for number in range(200):
        later(number, key=f"visit-{number}")
    now = clock() + timedelta(days=400)
    counts: list[int] = []

    def sweep() -> None:
        try:
            while fired := scheduled.fire_due(now=now, limit=7):
                counts.append(fired)
        finally:
            connection.close()

    sweeps = [threading.Thread(target=sweep) for _ in range(4)]
    for one in sweeps:
        one.start()
    for one in sweeps:
        one.join()
    while fired := scheduled.fire_due(now=now):  # what all of them passed over
        counts.append(fired)

    assert sum(counts) == 200
    assert sorted(number for _, _, number in told()) == list(range(200))  # type: ignore[type-var]


@pytest.mark.django_db(transaction=True)
def test_what_is_being_moved_is_passed_over_and_fires_at_its_new_time() -> None:
    later(1)
    later(2, key="visit-2")
    now = clock() + LATER
    with connect() as mover, mover.transaction():
        mover.execute(
            "UPDATE event_system_scheduled_event SET due_at = now() + interval '60 days'"
            " WHERE key = 'visit-1'"
        )
        assert scheduled.fire_due(now=now) == 1

    assert scheduled.fire_due(now=now) == 0
    assert scheduled.fire_due(now=now + 2 * LATER) == 1
    assert [number for _, _, number in told()] == [2, 1]


@pytest.mark.django_db(transaction=True)
def test_a_sweep_that_dies_before_its_commit_has_published_nothing() -> None:
    later()
    dying = connect()
    dying.execute("BEGIN")
    dying.execute(scheduled.FIRE.encode(), [clock() + timedelta(days=400), 10])
    dying.close()  # as a killed process's connection is

    assert ScheduledEvent.objects.count() == 1
    wait_until(fire_all, what="the server has noticed, and it is published")
    assert len(told()) == 1


@pytest.mark.django_db(transaction=True)
def test_the_relay_publishes_what_is_due() -> None:
    publish(TYPE, {"number": 1}, company="acme", delay=timedelta(0))
    stop = threading.Event()

    def lead() -> None:
        try:
            Relay(stop).run()
        finally:
            connection.close()

    relay = threading.Thread(target=lead)
    relay.start()
    try:
        wait_until(lambda: Event.objects.filter(type=TYPE).exists(), what="it is published")
    finally:
        stop.set()
        relay.join()

    assert told() == [("acme", None, 1)]


@pytest.fixture
def member(client: Client) -> Client:
    """A client of acme's staff, who have every permission there is."""
    user = User.objects.create_user("member", is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    Membership.objects.create(user=user, company="acme")
    client.force_login(user)
    return client


def due_at(company: str) -> datetime:
    return ScheduledEvent.objects.values_list("due_at", flat=True).get(company=company)


def test_staff_list_open_and_move_their_company_s(member: Client) -> None:
    later(41, company="acme")
    later(42, company="globex", key="not-for-acme")
    own, other = (ScheduledEvent.objects.get(company=c) for c in ("acme", "globex"))
    day = (clock() + timedelta(days=3)).date().isoformat()
    when = {"due_at_0": day, "due_at_1": "10:30:00"}

    listed = member.get(reverse(LIST)).content.decode()
    opened = member.get(reverse(PAGE, args=[own.pk])).content.decode()
    assert member.post(reverse(PAGE, args=[own.pk]), when).status_code == 302
    foreign = member.post(reverse(PAGE, args=[other.pk]), when)

    assert "visit-1" in listed
    assert "not-for-acme" not in listed
    assert "41" in opened
    assert due_at("acme").isoformat() == f"{day}T10:30:00+00:00"
    assert due_at("globex") == other.due_at
    assert foreign.status_code == 302  # to the list, which says that there is none


def test_a_time_beyond_a_year_is_refused_in_the_form(member: Client) -> None:
    later()
    page = reverse(PAGE, args=[ScheduledEvent.objects.get().pk])
    before = due_at("acme")

    answer = member.post(page, {"due_at_0": "2100-01-01", "due_at_1": "00:00:00"})

    assert "A year from now at most" in answer.content.decode()
    assert due_at("acme") == before


def test_staff_cancel_their_company_s_and_are_told_how_many(member: Client) -> None:
    later(company="acme")
    later(company="globex")
    chosen = list(ScheduledEvent.objects.values_list("pk", flat=True))

    page = member.post(
        reverse(LIST), {"action": "cancel_events", "_selected_action": chosen}, follow=True
    )

    assert "1 event cancelled." in page.content.decode()
    assert [row.company for row in ScheduledEvent.objects.all()] == ["globex"]
    assert 'value="delete_selected"' not in page.content.decode()


def test_what_was_published_meanwhile_is_neither_moved_nor_told_as_done(member: Client) -> None:
    later()
    pk = ScheduledEvent.objects.get().pk
    scheduled.cancel(ScheduledEvent.objects.all())

    answer = member.get(reverse(PAGE, args=[pk]), follow=True)

    assert "exist" in answer.content.decode()
