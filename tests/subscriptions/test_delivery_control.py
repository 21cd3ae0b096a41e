"""What holds deliveries back and lets them go: order, collapse, breaker, rate, pause, batches."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from threading import Thread
from typing import Any

import psycopg
import pytest
from django.core import mail
from django.db import connection
from pytest_django import Settings
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook
from werkzeug import Request, Response

from subscriptions.deliveries import (
    controls,
    delivery,
    disabling,
    places,
    queueing,
    sweeping,
)
from subscriptions.deliveries.breaker import Breaker
from subscriptions.deliveries.record_order import promote
from subscriptions.events import SubscriptionDisabled
from subscriptions.models import Delivery, DeliveryAttempt, Event, Gate, Subscription
from subscriptions.outbox import publish
from tests.subscriptions.conftest import Messages, Sql
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("local_receivers"),
]

Status = Delivery.Status


class Receiver:
    """Answers what it is told to, and keeps what it got."""

    def __init__(self, server: HTTPServer) -> None:
        self.answers: list[int] = []  # of the next requests, whatever they are about
        self.refused: list[str] = []  # records' statuses that are refused, once each
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.url = server.url_for("/hook")
        server.expect_request("/hook").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        body = json.loads(request.get_data())
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if self.refused and body["new"]["status"] in self.refused:
            self.refused.remove(body["new"]["status"])
            return Response("", 503)
        return Response("", self.answers.pop(0) if self.answers else 200)

    @property
    def told(self) -> list[tuple[str, str]]:
        """Return record and status of each event that came, in order."""
        return [(body["recordId"], (body["new"] or body["old"])["status"]) for body in self.bodies]


@pytest.fixture
def receiver(httpserver: HTTPServer) -> Receiver:
    return Receiver(httpserver)


@pytest.fixture
def hook(subscribe: Callable[..., int], orders: str, receiver: Receiver) -> int:
    """A subscription of acme to `orders` that posts to the receiver, and is tried again at once."""
    pk = subscribe(config=json.dumps({"url": receiver.url}))
    Subscription.objects.filter(pk=pk).update(backoff={"base": 0.001, "jitter": False})
    return pk


@pytest.fixture
def swept(messages: Messages) -> Callable[..., list[int]]:
    """Sweep once as if so much time had passed; return the ids in the messages."""

    def run(after: timedelta = timedelta(seconds=1)) -> list[int]:
        before = len(messages.sent)
        now = datetime.now(tz=UTC) + after
        sweeping.tend(now=now)
        sweeping.sweep(now=now)
        return [pk for _, ids in messages.sent[before:] for pk in ids]

    return run


def change(sql: Sql, pk: int, *statuses: str) -> None:
    """Insert an order, or change it, once for each status."""
    for status in statuses:
        sql(
            "INSERT INTO orders VALUES (%s, 'acme', %s)"
            " ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status",
            pk,
            status,
        )


def statuses() -> list[str]:
    return list(Delivery.objects.order_by("event_id").values_list("status", flat=True))


def by_status() -> dict[str, int]:
    found: dict[str, int] = {}
    for status in statuses():
        found[status] = found.get(status, 0) + 1
    return found


def settle(**fields: Any) -> None:
    Subscription.objects.update(**fields)


# Order --------------------------------------------------------------------------------------------


def test_later_events_of_a_record_wait_for_the_earlier_one_and_others_do_not(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(ordering="record")
    change(sql, 1, "a", "b", "c")
    change(sql, 2, "x")
    receiver.refused = ["a"]

    delivery.deliver(relay())
    assert sorted(receiver.told) == [("1", "a"), ("2", "x")]
    assert statuses() == ["retrying", "waiting", "waiting", "delivered"]

    delivery.deliver(swept())

    assert receiver.told[-3:] == [("1", "a"), ("1", "b"), ("1", "c")]
    assert by_status() == {"delivered": 4}


def test_a_dead_delivery_lets_the_next_of_its_record_go(
    hook: int, sql: Sql, relay: Callable[[], list[int]], receiver: Receiver
) -> None:
    settle(ordering="record", attempts=1)
    change(sql, 1, "a", "b")
    receiver.answers = [500]

    delivery.deliver(relay())

    assert receiver.told == [("1", "a"), ("1", "b")]
    assert statuses() == ["dead", "delivered"]


def test_order_holds_whichever_message_comes_first(
    hook: int, sql: Sql, relay: Callable[[], list[int]], receiver: Receiver
) -> None:
    settle(ordering="record")
    change(sql, 1, "a", "b", "c")
    ids = relay()

    for pk in reversed(ids):
        delivery.deliver([pk])

    assert receiver.told == [("1", "a"), ("1", "b"), ("1", "c")]


def test_no_wake_up_is_lost_between_the_end_of_one_and_the_look_of_the_next(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settle(ordering="record")
    change(sql, 1, "a", "b")
    first, second = relay()
    recorded, looked = threading.Event(), threading.Event()

    def promote_and_wait(*given: Any) -> list[int]:
        found = promote(*given)
        recorded.set()
        looked.wait(1)  # the other one cannot look before the commit: that is what is asked
        return found

    monkeypatch.setattr("subscriptions.deliveries.recording.promote", promote_and_wait)
    ending = in_thread(lambda: delivery.deliver([first]))
    recorded.wait(10)

    looking = in_thread(lambda: delivery.deliver([second]), then=looked)
    ending.join()
    looking.join()

    assert receiver.told == [("1", "a"), ("1", "b")]
    assert statuses() == ["delivered", "delivered"]


def in_thread(work: Callable[[], object], *, then: threading.Event | None = None) -> Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()
            if then is not None:
                then.set()

    thread = Thread(target=run)
    thread.start()
    return thread


# Debounce -----------------------------------------------------------------------------------------


def test_a_debounced_record_is_told_once_when_it_has_rested(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(debounce=timedelta(seconds=30))
    change(sql, 1, "a", "b", "c")
    change(sql, 2, "x")

    assert relay() == []
    assert swept(timedelta(seconds=20)) == []
    delivery.deliver(swept(timedelta(seconds=31)))

    assert sorted(receiver.told) == [("1", "c"), ("2", "x")]
    assert by_status() == {"superseded": 2, "delivered": 2}


def test_a_key_of_any_length_is_relayed(sql: Sql, relay: Callable[[], list[int]]) -> None:
    sql(
        "INSERT INTO event_system_subscription (name, company, event_type, handler_type, config,"
        " ordering) VALUES ('all', 'acme', 'subscription.disabled', 'WEBHOOK',"
        """ '{"url": "https://example.com"}', 'record')"""
    )
    long = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))  # noqa: S311 - no secret
    for key in (long, long, f"{long}x"):
        told = SubscriptionDisabled(subscription_id=1, name="n", reason="r")
        publish(told, company="acme", key=key)

    assert len(relay()) == 3

    keys = list(Delivery.objects.order_by("event_id").values_list("record_key", flat=True))
    assert keys[0] == keys[1] != keys[2]


def test_records_of_two_companies_are_apart_for_the_platform_too(
    orders: str,
    subscribe: Callable[..., int],
    sql: Sql,
    relay: Callable[[], list[int]],
) -> None:
    subscribe(company=None)
    settle(debounce=timedelta(seconds=30))
    sql("INSERT INTO orders VALUES (1, 'acme', 'a')")
    sql("UPDATE orders SET company = 'globex'")
    relay()

    found = dict(Delivery.objects.values_list("company", "record_key").distinct())

    assert found["acme"] != found["globex"]


# Breaker ------------------------------------------------------------------------------------------


def test_after_ten_failures_in_a_row_only_a_probe_goes_out_until_one_succeeds(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(attempts=100)
    for pk in range(10):
        change(sql, pk, "a")
    receiver.answers = [500] * 11
    delivery.deliver(relay())
    assert len(receiver.bodies) == 10

    delivery.deliver(swept())
    assert len(receiver.bodies) == 10
    assert by_status() == {"queued": 10}
    gate = Gate.objects.get()
    assert gate.failures == 10
    assert gate.open_until is not None

    delivery.deliver(swept(timedelta(seconds=31)))  # the probe fails: twice as long a pause
    assert len(receiver.bodies) == 11
    delivery.deliver(swept(timedelta(seconds=31)))
    assert len(receiver.bodies) == 11

    sql("UPDATE event_system_gate SET open_until = clock_timestamp()")
    delivery.deliver(swept(timedelta(seconds=1)))  # the probe succeeds, and all follow
    assert len(receiver.bodies) == 12
    delivery.deliver(swept(timedelta(seconds=1)))

    assert by_status() == {"delivered": 10}
    assert Gate.objects.get().failures == 0


def test_new_events_queue_behind_an_open_breaker(
    hook: int, sql: Sql, relay: Callable[[], list[int]], receiver: Receiver
) -> None:
    Gate.objects.create(
        subscription_id=hook, failures=10, open_until=datetime.now(tz=UTC) + timedelta(hours=1)
    )
    change(sql, 1, "a")

    delivery.deliver(relay())

    assert receiver.bodies == []
    [found] = Delivery.objects.all()
    assert (found.status, found.attempts, found.due_at) == (Status.QUEUED, 0, None)


def test_another_url_begins_with_a_closed_breaker(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    Gate.objects.create(
        subscription_id=hook, failures=10, open_until=datetime.now(tz=UTC) + timedelta(hours=1)
    )
    change(sql, 1, "a")
    delivery.deliver(relay())

    sql(
        "UPDATE event_system_subscription SET config = config || %s::jsonb",
        json.dumps({"url": f"{receiver.url}?new"}),
    )
    delivery.deliver(swept())

    assert by_status() == {"delivered": 1}


def test_the_breaker_counts_failures_in_a_row_and_doubles_its_pause() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    breaker = Breaker()
    for _ in range(9):
        breaker = breaker.after(False, 1, now=now)
    assert breaker.open_until is None
    assert breaker.after(True, 1, now=now) == Breaker()

    opened = breaker.after(False, 1, now=now)
    assert opened.open_until == now + timedelta(seconds=30)
    assert opened.after(False, 2, now=now).open_until == opened.open_until  # was under way

    probing = Breaker(11, now, 1, now, probe_id=7)
    assert probing.after(False, 7, now=now).open_until == now + timedelta(minutes=1)
    assert Breaker(99, now, 50, now, probe_id=7).after(False, 7, now=now).open_until == (
        now + timedelta(minutes=15)
    )


def test_five_days_of_failure_switch_a_subscription_off_and_tell_its_owner(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(owner="owner@example.com")
    change(sql, 1, "a")
    Gate.objects.create(
        subscription_id=hook, failures=9, failing_since=datetime.now(tz=UTC) - timedelta(days=5)
    )
    receiver.answers = [500]

    delivery.deliver(relay())

    subscription = Subscription.objects.get()
    assert not subscription.active
    assert "5 days" in str(subscription.disabled_reason)
    [sent] = wait_until(lambda: list(mail.outbox), what="the owner is told")
    assert sent.to == ["owner@example.com"]
    assert "all" in sent.subject
    event = Event.objects.get(type="subscription.disabled")
    assert event.company == "acme"
    assert event.payload["subscription_id"] == hook

    sql("UPDATE event_system_subscription SET active = true")
    assert Subscription.objects.get().disabled_reason is None
    receiver.answers = [500]
    delivery.deliver(swept())
    assert Subscription.objects.get().active  # given another chance, it has all of it


def test_who_holds_the_subscriptions_holds_up_no_outcome(
    hook: int,
    sql: Sql,
    writer: psycopg.Connection[tuple[Any, ...]],
    relay: Callable[[], list[int]],
    receiver: Receiver,
) -> None:
    change(sql, 1, "a")
    receiver.answers = [410]
    ids = relay()

    with writer.transaction():
        sql("UPDATE event_system_subscription SET attempts = attempts")
        delivery.deliver(ids)
        assert statuses() == ["dead"]

    assert Subscription.objects.get().active  # the next 410 asks again


def test_two_short_outages_five_days_apart_switch_nothing_off() -> None:
    monday = datetime(2026, 1, 5, tzinfo=UTC)
    breaker = Breaker()
    for moment in (monday, monday, monday, monday + timedelta(days=7)):
        breaker = breaker.after(False, 1, now=moment)

    assert not breaker.is_hopeless(now=monday + timedelta(days=7))


@pytest.mark.parametrize(
    ("change_to", "status"),
    [("active = false", "canceled"), ("paused_at = clock_timestamp()", "held")],
)
def test_what_a_breaker_stopped_ends_with_its_subscription(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    change_to: str,
    status: str,
) -> None:
    until = datetime.now(tz=UTC) + timedelta(hours=1)
    Gate.objects.create(subscription_id=hook, failures=10, openings=1, open_until=until)
    for pk in range(3):
        change(sql, pk, "a")
    delivery.deliver(relay())
    assert by_status() == {"queued": 3}

    sql(f"UPDATE event_system_subscription SET {change_to}")  # noqa: S608 - above
    delivery.deliver(swept())

    assert by_status() == {status: 3}


def test_without_an_owner_the_operators_are_told_of_410(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    receiver: Receiver,
    settings: Settings,
) -> None:
    settings.OPERATORS = ["operators@example.com"]
    change(sql, 1, "a")
    receiver.answers = [410]

    delivery.deliver(relay())

    [sent] = wait_until(lambda: list(mail.outbox), what="the operators are told")
    assert sent.to == ["operators@example.com"]
    assert "410" in sent.body
    assert statuses() == ["dead"]


def test_a_slow_mail_server_holds_up_no_outcome(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settle(owner="owner@example.com")
    answers = threading.Event()
    monkeypatch.setattr(disabling, "send_mail", lambda **mail: answers.wait(30))
    change(sql, 1, "a")
    receiver.answers = [410]
    ids = relay()

    delivering = in_thread(lambda: delivery.deliver(ids))
    delivering.join(10)

    is_stuck = delivering.is_alive()
    answers.set()
    delivering.join()
    assert not is_stuck
    assert disabling.flush(10)
    assert statuses() == ["dead"]


def test_a_handler_type_that_nobody_knows_is_shown_and_ends(
    hook: int, sql: Sql, relay: Callable[[], list[int]], swept: Callable[..., list[int]]
) -> None:
    change(sql, 1, "a")
    relay()
    Delivery.objects.update(handler_type="PIGEON")

    assert swept(timedelta(minutes=2)) == []
    found = Delivery.objects.get()
    assert (found.status, found.attempts) == ("queued", 0)
    assert found.error.startswith("no worker knows the handler type PIGEON; known here: ")

    assert swept(timedelta(minutes=30)) == []
    assert statuses() == ["queued"]
    assert swept(timedelta(minutes=70)) == []
    found = Delivery.objects.get()
    assert (found.status, found.finished_at is None) == ("dead", False)
    assert "PIGEON" in found.error


def test_what_only_one_event_caused_is_no_failure_of_the_receiver(
    orders: str, subscribe: Callable[..., int], sql: Sql, relay: Callable[[], list[int]]
) -> None:
    subscribe(handler_type="WORKFLOW", config='{"workflow": "restock"}')
    change(sql, 1, "a")

    delivery.deliver(relay())  # the row is no input of that workflow, whatever there is

    assert not Gate.objects.filter(failures__gt=0).exists() or statuses() == ["retrying"]


# Rate ---------------------------------------------------------------------------------------------


def test_deliveries_keep_to_their_rate_and_each_keeps_its_place(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(max_rate=1)
    for pk in range(4):
        change(sql, pk, "a")

    delivery.deliver(relay())
    assert len(receiver.bodies) == 1
    assert by_status() == {"delivered": 1, "queued": 3}

    assert len(swept(timedelta(seconds=2.5))) == 2
    found = Delivery.objects.order_by("slot_at").values_list("slot_at", flat=True)
    slots = [slot for slot in found if slot is not None]
    assert [round((later - earlier).total_seconds()) for earlier, later in pairwise(slots)] == [
        1,
        1,
    ]


def test_a_higher_rate_lets_those_that_wait_go(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(max_rate=1)
    for pk in range(4):
        change(sql, pk, "a")
    delivery.deliver(relay())

    settle(max_rate=1000)
    delivery.deliver(swept())

    assert by_status() == {"delivered": 4}


def test_places_are_given_some_minutes_ahead_and_the_rest_follows_in_order(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (places, queueing):
        monkeypatch.setattr(module, "AHEAD", timedelta(seconds=3))
    settle(max_rate=1)
    sql("INSERT INTO orders SELECT n, 'acme', 'a' FROM generate_series(1, 8) AS n")

    delivery.deliver(relay())

    queued = Delivery.objects.filter(status="queued").order_by("event_id")
    assert [one.slot_at is None for one in queued] == [False] * 2 + [True] * 5
    assert swept() == [queued[0].pk]  # its place has come; there is none for the others

    sql("INSERT INTO orders VALUES (9, 'acme', 'a')")
    sql("UPDATE event_system_gate SET next_at = clock_timestamp() - interval '1 s'")
    delivery.deliver(relay())
    assert receiver.told == [("1", "a")]  # the new one passes nobody

    delivery.deliver(swept())
    assert ("4", "a") in receiver.told
    assert ("9", "a") not in receiver.told


def test_another_url_keeps_the_place_in_the_rate_and_another_rate_does_not(
    hook: int, sql: Sql
) -> None:
    settle(max_rate=1)
    next_at = datetime.now(tz=UTC) + timedelta(minutes=1)
    Gate.objects.create(subscription_id=hook, failures=3, next_at=next_at)

    sql('UPDATE event_system_subscription SET config = \'{"url": "https://example.com"}\'')
    gate = Gate.objects.get()
    assert (gate.failures, gate.next_at) == (0, next_at)

    settle(max_rate=2)
    assert Gate.objects.get().next_at is None


# Schedules ----------------------------------------------------------------------------------------


def test_the_standard_schedule_has_eight_tries_at_its_own_times(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    messages: Messages,
    receiver: Receiver,
) -> None:
    settle(backoff="standard")
    change(sql, 1, "a")
    receiver.answers = [500] * 8
    waits = []

    delivery.deliver(relay())
    while Delivery.objects.get().status == "retrying":
        [found] = sql(
            "SELECT extract(epoch FROM due_at - clock_timestamp()) FROM event_system_delivery"
        )
        waits.append(round(float(found[0])))
        sweeping.sweep(now=datetime.now(tz=UTC) + timedelta(days=1))
        delivery.deliver(messages.sent[-1][1])

    assert waits == [5, 300, 1800, 7200, 18000, 36000, 36000]
    assert len(receiver.bodies) == 8
    assert statuses() == ["dead"]


# Pause --------------------------------------------------------------------------------------------


def test_a_pause_holds_and_resuming_sends_in_order(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(ordering="record")
    change(sql, 1, "a")
    before = relay()
    assert controls.pause(hook)
    assert not controls.pause(hook)
    change(sql, 1, "b")
    assert relay() == []

    delivery.deliver(before)  # was sent before the pause
    assert statuses() == ["held", "held"]
    assert controls.resume(hook) == 2
    delivery.deliver(swept())

    assert receiver.told == [("1", "a"), ("1", "b")]


def test_a_subscription_resumed_by_sql_sends_what_was_held(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    controls.pause(hook)
    change(sql, 1, "a")
    relay()
    assert swept() == []

    sql("UPDATE event_system_subscription SET paused_at = NULL")
    delivery.deliver(swept())

    assert statuses() == ["delivered"]


def test_what_is_held_for_thirty_days_expires(
    hook: int, sql: Sql, relay: Callable[[], list[int]], swept: Callable[..., list[int]]
) -> None:
    controls.pause(hook)
    change(sql, 1, "a")
    relay()

    swept(timedelta(days=29))
    assert statuses() == ["held"]
    swept(timedelta(days=30, minutes=1))

    assert statuses() == ["expired"]
    assert controls.resume(hook) == 0


def test_resuming_lets_much_go_in_pages(
    hook: int, sql: Sql, relay: Callable[[], list[int]]
) -> None:
    controls.pause(hook)
    sql("INSERT INTO orders SELECT n, 'acme', 'a' FROM generate_series(1, 10) AS n")
    relay()

    assert controls.resume(hook) == 10
    assert by_status() == {"held": 10}
    sweeping.tend(limit=4)

    assert statuses() == ["pending"] * 4 + ["held"] * 6


# Batches ------------------------------------------------------------------------------------------


def test_a_batch_is_one_request_and_stays_together_over_tries(
    hook: int,
    sql: Sql,
    relay: Callable[[], list[int]],
    swept: Callable[..., list[int]],
    receiver: Receiver,
) -> None:
    settle(batch_size=3)
    for pk in range(5):
        change(sql, pk, "a")
    receiver.answers = [500]

    delivery.deliver(relay())
    again = swept()
    for pk in again:  # even if their messages are torn apart
        delivery.deliver([pk])

    sizes = sorted(len(body) for body in receiver.bodies)
    assert sizes == [2, 3, 3] or sizes == [2, 2, 3]
    ids = [headers["Webhook-Id"] for headers in receiver.headers]
    assert len(set(ids)) == 2  # the failed one came again under its id
    assert DeliveryAttempt.objects.filter(status="failed").count() in (2, 3)
    assert by_status() == {"delivered": 5}


def test_a_failed_batch_counts_once_and_is_due_as_one(
    hook: int, sql: Sql, relay: Callable[[], list[int]], receiver: Receiver
) -> None:
    settle(batch_size=5, backoff={"base": 10})  # with jitter
    for pk in range(5):
        change(sql, pk, "a")
    receiver.answers = [500]

    delivery.deliver(relay())

    assert by_status() == {"retrying": 5}
    assert Delivery.objects.values("due_at").distinct().count() == 1
    assert Gate.objects.get().failures == 1


# Webhooks -----------------------------------------------------------------------------------------


def test_both_secrets_sign_while_a_rotation_lasts(
    hook: int, sql: Sql, relay: Callable[[], list[int]], httpserver: HTTPServer
) -> None:
    received: list[Request] = []
    httpserver.clear()
    httpserver.expect_request("/hook").respond_with_handler(
        lambda request: received.append(request) or Response("")  # type: ignore[func-returns-value]
    )
    old, new = (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    )
    subscription = Subscription.objects.get(pk=hook)
    subscription.secret, subscription.previous_secret = new, old
    subscription.previous_secret_until = datetime.now(tz=UTC) + timedelta(hours=1)
    subscription.save(update_fields=["secret", "previous_secret", "previous_secret_until"])
    change(sql, 1, "a")
    delivery.deliver(relay())
    settle(previous_secret_until=datetime.now(tz=UTC))
    change(sql, 2, "a")
    delivery.deliver(relay())

    during, after = received
    for secret in (old, new):
        Webhook(secret).verify(during.get_data(), dict(during.headers))
    assert len(after.headers["webhook-signature"].split()) == 1
    Webhook(new).verify(after.get_data(), dict(after.headers))


def test_cloudevents_are_structured_json(
    hook: int, sql: Sql, relay: Callable[[], list[int]], receiver: Receiver
) -> None:
    sql(
        "UPDATE event_system_subscription SET config = config || %s::jsonb",
        json.dumps({"format": "cloudevents"}),
    )
    change(sql, 1, "a")

    delivery.deliver(relay())

    [body] = receiver.bodies
    event = Event.objects.get()
    assert body == {
        "specversion": "1.0",
        "id": str(event.event_id),
        "source": "/table",
        "type": "orders.insert",
        "subject": "1",
        "time": body["data"]["timestamp"],
        "datacontenttype": "application/json",
        "companyid": "acme",
        "data": {
            "table": "orders",
            "operation": "INSERT",
            "recordId": "1",
            "new": {"id": 1, "company": "acme", "status": "a"},
            "old": None,
            "timestamp": body["time"],
        },
    }
    assert receiver.headers[0]["Content-Type"] == "application/cloudevents+json"
