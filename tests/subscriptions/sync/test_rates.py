"""The providers' rates: kept before they are broken, and obeyed when they say so."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now
from werkzeug import Request, Response

from subscriptions.handlers.sync import session
from subscriptions.handlers.sync.pacing import DAY, Pace, Permit, State, Wait, decide
from subscriptions.handlers.sync.xero import Xero
from subscriptions.models import (
    Delivery,
    DeliveryAttempt,
    ExternalConnection,
    ExternalMapping,
    Gate,
)
from tests.subscriptions.conftest import Sql
from tests.subscriptions.sync.conftest import mapping
from tests.subscriptions.sync.fakes import FakeXero

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDLE = State(None, None, (), None, 0)
SECOND = timedelta(seconds=1)


def end_calls(state: State) -> State:
    return State(state.paced_until, state.blocked_until, (), state.day_started_at, state.day_calls)


def test_no_minute_has_more_calls_than_xero_takes() -> None:
    state, now = IDLE, NOON
    calls: list[datetime] = []
    while len(calls) < 200:
        found = decide(state, Xero.pace, now=now, place=None)
        if isinstance(found, Permit):
            calls.append(now)
            state = end_calls(found.state)
        else:
            now = found.at  # its place is lost: the worst that can happen

    most = max(sum(1 for at in calls if start <= at < start + 60 * SECOND) for start in calls)
    assert most <= 60


def test_those_who_wait_get_places_one_after_another_and_keep_them() -> None:
    pace = Pace(interval=SECOND, burst=1, concurrent=5)
    first = decide(IDLE, pace, now=NOON, place=None)
    assert isinstance(first, Permit)
    second = decide(end_calls(first.state), pace, now=NOON, place=None)
    assert isinstance(second, Wait)
    third = decide(second.state, pace, now=NOON, place=None)
    assert isinstance(third, Wait)

    assert (second.at, third.at) == (NOON + SECOND, NOON + 2 * SECOND)
    early = decide(third.state, pace, now=NOON + SECOND, place=third.at)
    assert (early.state.paced_until, isinstance(early, Wait)) == (third.state.paced_until, True)
    assert isinstance(decide(third.state, pace, now=third.at, place=third.at), Permit)


def test_no_more_calls_are_open_at_once_than_allowed_and_dead_ones_are_forgotten() -> None:
    pace = Pace(interval=timedelta(), burst=1, concurrent=2)
    state = IDLE
    for _ in range(2):
        found = decide(state, pace, now=NOON, place=None)
        assert isinstance(found, Permit)
        state = found.state

    assert len(set(state.calls_until)) == 2
    assert isinstance(decide(state, pace, now=NOON, place=None), Wait)
    assert isinstance(decide(state, pace, now=NOON + 61 * SECOND, place=None), Permit)


def test_a_day_that_is_used_up_ends_24_hours_after_its_first_call() -> None:
    pace = Pace(interval=timedelta(), burst=1, concurrent=2, per_day=10)
    state = State(None, None, (), NOON, 10)

    found = decide(state, pace, now=NOON + SECOND, place=None)

    assert isinstance(found, Wait)
    assert found.at == NOON + DAY
    assert isinstance(decide(state, pace, now=NOON + DAY, place=None), Permit)


@pytest.fixture
def synced(
    xero: FakeXero,
    connected: Callable[..., ExternalConnection],
    customers: str,
    subscribe: Callable[..., int],
) -> FakeXero:
    connected()
    subscribe(table=customers, handler_type="SYNC", config='{"provider": "xero"}')
    return xero


def make_due() -> None:
    Delivery.objects.update(due_at="2020-01-01T00:00:00Z")


def too_many(request: Request) -> Response:
    return Response("", 429, headers={"Retry-After": "37", "X-Rate-Limit-Problem": "minute"})


@pytest.fixture
def together(synced: FakeXero, sql: Sql) -> None:
    """All deliveries that there are make one batch."""
    sql("UPDATE event_system_subscription SET batch_size = 10")


@pytest.mark.django_db(transaction=True)
def test_after_a_429_nothing_more_is_asked_until_its_time_and_no_try_is_lost(
    together: None, synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    synced.faults = [too_many]
    for number in range(4):
        add(f"c{number}", name=f"Ada {number}")

    assert run() == 0
    sql("UPDATE event_system_subscription SET batch_size = 1")
    add("c9", name="Later")
    assert run() == 0  # another worker

    assert len(synced.calls) == 1
    waits = Delivery.objects.filter(status="queued", due_at__gt=Now() + timedelta(seconds=30))
    assert set(waits.values_list("attempts", flat=True)) == {0}
    assert waits.count() == 5
    assert "Xero takes no more calls for now (limit: minute)" in waits[0].error
    assert not DeliveryAttempt.objects.exists()
    assert not Gate.objects.filter(failures__gt=0).exists()
    # The record is as good as before.
    assert set(ExternalMapping.objects.values_list("status", flat=True)) == {"pending"}

    ExternalConnection.objects.update(blocked_until=None)
    make_due()
    assert run() == 5
    assert set(DeliveryAttempt.objects.values_list("number", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_records_beyond_the_rate_get_a_place_each_and_go_out_then(
    synced: FakeXero,
    add: Callable[..., None],
    run: Callable[[], int],
    sql: Sql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "PATIENCE", timedelta())
    ExternalConnection.objects.update(paced_until=Now() + timedelta(seconds=60))
    add("c1", name="A")
    add("c2", name="B")

    assert run() == 0

    first, second = mapping("c1").slot_at, mapping("c2").slot_at
    assert first is not None
    assert second is not None
    assert abs(second - first) >= timedelta(seconds=1.2)
    assert synced.calls == []
    # Their time has come; the rate is still used up by others.
    ExternalMapping.objects.filter(record_id="c1").update(slot_at=Now())
    sql("UPDATE customer SET phone = '1' WHERE id = 'c1'")
    assert run() == 1
    assert mapping("c1").slot_at is None


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_fails_is_left_alone_for_the_rest_of_the_batch(
    together: None, synced: FakeXero, add: Callable[..., None], run: Callable[[], int]
) -> None:
    synced.faults = [
        lambda request: Response("<html>down</html>", 503, headers={"Retry-After": "120"})
    ]
    for number in range(3):
        add(f"c{number}", name=f"Ada {number}")

    assert run() == 0

    assert len(synced.calls) == 1
    assert set(Delivery.objects.values_list("status", "error")) == {("retrying", "Xero: HTTP 503")}
    late = Delivery.objects.filter(due_at__gt=Now() + timedelta(seconds=100))
    assert late.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_record_in_another_workers_turn_is_tried_again(
    synced: FakeXero, add: Callable[..., None], run: Callable[[], int], sql: Sql
) -> None:
    add()
    run()
    ExternalMapping.objects.update(busy_until=Now() + timedelta(minutes=1))
    sql("UPDATE customer SET phone = '1'")

    assert run() == 0

    waiting = Delivery.objects.latest("id")
    assert (waiting.error, waiting.status, waiting.attempts) == (
        "another worker is sending this record now",
        "queued",
        0,
    )
    ExternalMapping.objects.update(busy_until=Now() - timedelta(minutes=1))
    sql("UPDATE customer SET phone = '2'")
    assert run() == 1
