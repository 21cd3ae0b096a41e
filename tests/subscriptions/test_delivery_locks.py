"""Who locks what, in which order: two that begin at opposite ends never wait for each other."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from django.db import connection

from subscriptions import secrets
from subscriptions.deliveries import delivery
from subscriptions.deliveries.admission import Definition
from subscriptions.deliveries.claiming import Taken, take
from subscriptions.deliveries.recording import Done, record
from subscriptions.errors import SecretRefused
from subscriptions.handlers.contract import Outcome
from subscriptions.models import Delivery, Gate, Subscription
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from subscriptions.statements import fetch
from tests.subscriptions.conftest import Messages, Sql
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

Writer = psycopg.Connection[tuple[Any, ...]]
OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def in_thread(work: Callable[[], Any]) -> Any:
    """Run it with a connection of its own; returns the future."""

    def run() -> Any:
        try:
            return work()
        finally:
            connection.close()

    threads = ThreadPoolExecutor(1)
    future = threads.submit(run)
    threads.shutdown(wait=False)
    return future


def until_somebody_waits() -> None:
    wait_until(
        lambda: fetch(
            "SELECT FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'",
            [],
        ),
        what="the other one waits for a lock",
        seconds=10,
    )


@pytest.fixture
def two(orders: str, subscribe: Callable[..., int], sql: Sql) -> tuple[int, int]:
    """Two subscriptions with a failure each; a scan of the table finds the second one first."""
    first, second = subscribe(name="first"), subscribe(name="second")
    sql("UPDATE event_system_subscription SET attempts = 3 WHERE id = %s", first)
    for pk in (first, second):
        Gate.objects.create(subscription_id=pk, failures=1)
    return first, second


@pytest.fixture
def taken(two: tuple[int, int], sql: Sql, messages: Messages) -> Callable[[], Taken]:
    def run() -> Taken:
        sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
        relay_all(Router())
        return take(messages.ids, room=lambda definition: 1000)

    return run


def outcomes(taken: Taken, failing: int) -> list[Done]:
    now = datetime.now(tz=UTC)
    return [
        Done(
            one,
            Outcome(one.id, one.subscription_id != failing),
            taken.definitions[one.subscription_id],
            now,
            now,
        )
        for one in taken.claims
    ]


def check_the_second_gate_is_free(two: tuple[int, int], writer: Writer, work: Any) -> None:
    """While we hold the first gate, whoever waits for it must not have taken the second one."""
    first, second = two
    lock = "SELECT FROM event_system_gate WHERE subscription_id = %s FOR UPDATE"
    with writer.transaction():
        writer.execute(lock, [first])
        other = in_thread(work)
        until_somebody_waits()
        writer.execute(lock, [second])
    other.result(10)


def test_outcomes_lock_gates_in_their_order(
    two: tuple[int, int], writer: Writer, taken: Callable[[], Taken]
) -> None:
    done = outcomes(taken(), failing=two[0])

    check_the_second_gate_is_free(two, writer, lambda: record(done))

    assert dict(Gate.objects.values_list("pk", "failures")) == {two[0]: 2, two[1]: 0}


def test_a_change_of_several_subscriptions_locks_gates_in_their_order(
    two: tuple[int, int], writer: Writer
) -> None:
    other = json.dumps({"url": "https://example.com/other"})

    check_the_second_gate_is_free(
        two, writer, lambda: Subscription.objects.update(config=json.loads(other))
    )

    assert set(Gate.objects.values_list("failures", flat=True)) == {0}


def test_claims_lock_gates_in_their_order(
    two: tuple[int, int], writer: Writer, sql: Sql, messages: Messages
) -> None:
    sql("UPDATE event_system_subscription SET max_rate = 1, ordering = 'record'")
    sql("UPDATE event_system_subscription SET company = 'globex' WHERE id = %s", two[0])
    sql("INSERT INTO orders VALUES (1, 'acme', 'x'), (2, 'globex', 'x')")  # the second one's first
    relay_all(Router())

    def anywhere(definition: Definition) -> int:
        return 1000

    check_the_second_gate_is_free(two, writer, lambda: take(messages.ids, room=anywhere))

    assert set(Delivery.objects.values_list("status", flat=True)) == {"running"}


# Secrets ------------------------------------------------------------------------------------------


def test_a_rotation_waits_for_who_holds_the_row_and_keeps_the_old_secret(
    orders: str, subscribe: Callable[..., int], writer: Writer
) -> None:
    pk = subscribe()
    old = secrets.adopt_secret(pk)

    with writer.transaction():
        writer.execute("UPDATE event_system_subscription SET owner = 'a@example.com'")
        rotating = in_thread(lambda: secrets.rotate(pk))
        until_somebody_waits()
    new = rotating.result(10)

    found = Subscription.objects.get(pk=pk)
    assert (found.secret, found.previous_secret) == (new, old)


def test_a_rotation_does_not_wait_for_ever(
    orders: str, subscribe: Callable[..., int], writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "PATIENCE", "50ms")
    pk = subscribe()
    old = secrets.adopt_secret(pk)

    with writer.transaction():
        writer.execute("UPDATE event_system_subscription SET owner = 'a@example.com'")
        with pytest.raises(SecretRefused, match="try again"):
            secrets.rotate(pk)

    assert Subscription.objects.get(pk=pk).secret == old


def test_two_rotations_at_once_follow_each_other(
    orders: str, subscribe: Callable[..., int], writer: Writer
) -> None:
    pk = subscribe()
    secrets.adopt_secret(pk)

    with writer.transaction():
        writer.execute("UPDATE event_system_subscription SET owner = 'a@example.com'")
        both = [in_thread(lambda: secrets.rotate(pk)) for _ in range(2)]
    told = {one.result(10) for one in both}

    found = Subscription.objects.get(pk=pk)
    assert {found.secret, found.previous_secret} == told


def test_a_secret_in_the_config_is_moved_without_waiting_for_a_writer_of_definitions(
    orders: str, subscribe: Callable[..., int], writer: Writer
) -> None:
    config = {"url": "https://example.com", "secret": OLD}
    pk = subscribe(config=json.dumps(config))

    with writer.transaction():
        # Takes the lock of all definitions, and no row yet.
        writer.execute("UPDATE event_system_subscription SET attempts = 3 WHERE false")
        adopting = in_thread(lambda: secrets.adopt_secret(pk))
        assert adopting.result(5) is None
        writer.execute("UPDATE event_system_subscription SET attempts = 4")

    assert secrets.adopt_secret(pk) == OLD


def test_a_delivery_whose_secret_somebody_holds_comes_later_and_loses_no_try(
    orders: str, subscribe: Callable[..., int], writer: Writer, sql: Sql, messages: Messages
) -> None:
    subscribe()
    sql("INSERT INTO orders VALUES (1, 'acme', 'x')")
    router = Router()
    with writer.transaction():
        writer.execute("UPDATE event_system_subscription SET owner = 'a@example.com'")
        relay_all(router)
        delivery.deliver(messages.ids)

    found = Delivery.objects.get()
    assert (found.status, found.attempts) == ("queued", 0)
    assert "secret" in found.error
    assert not Gate.objects.filter(failures__gt=0).exists()
