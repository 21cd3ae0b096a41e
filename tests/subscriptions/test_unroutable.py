"""Events that no relay can route as they stand: set aside, seen, and read again when mended."""

from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command

from subscriptions import backlog, runs, unroutable
from subscriptions.deliveries.delivery import deliver
from subscriptions.deliveries.replaying import replay
from subscriptions.models import Delivery, Event, RelayCursor
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.subscriptions.conftest import Messages, Sql
from tests.subscriptions.test_outbox_command import shown

pytestmark = pytest.mark.django_db(transaction=True)

ODD_TIMES = ["infinity", "-infinity", "294276-01-01", "0044-03-15 BC"]


@pytest.fixture
def router(orders: str, subscribe: Callable[..., int], messages: Messages) -> Router:
    subscribe(None)
    return Router()


@pytest.fixture(autouse=True)
def forgotten(transactional_db: None) -> Iterator[None]:
    """What this leaves is of no table of Django's."""
    yield
    Event.objects.all().delete()
    unroutable.forget()


def write(sql: Sql, company: str = "acme", **columns: str) -> int:
    """Write an order's event into the outbox as plain SQL may; return its `seq`."""
    names = "".join(f', "{name}"' for name in columns)
    [(seq,)] = sql(
        'INSERT INTO event_system_event (source, company, "table", operation, record_id, new'  # noqa: S608 - the test's own names
        f"{names}) VALUES ('sql', %s, 'orders', 'INSERT', '\"1\"', '{{}}'"
        f"{', %s' * len(columns)}) RETURNING seq",
        company,
        *columns.values(),
    )
    return int(seq)


def statuses() -> dict[int, str]:
    """Return the status of each event's delivery, by `seq`."""
    return dict(Delivery.objects.values_list("event_id", "status"))


@pytest.fixture
def refusing(sql: Sql) -> Iterator[Callable[[str], None]]:
    """Have the table of deliveries refuse what does not meet a condition."""

    def refuse_unless(condition: str) -> None:
        sql(f"ALTER TABLE event_system_delivery ADD CONSTRAINT refusing CHECK ({condition})")

    yield refuse_unless
    sql("ALTER TABLE event_system_delivery DROP CONSTRAINT refusing")


@pytest.mark.parametrize("time", ODD_TIMES)
def test_an_event_of_a_time_that_cannot_be_stops_no_other(
    time: str, router: Router, sql: Sql
) -> None:
    before = [write(sql) for _ in range(3)]
    odd = [write(sql, recorded_at=time), write(sql, timestamp=time)]
    after = [write(sql) for _ in range(3)]
    assert backlog.measure().unread == 8
    assert "unread: 8" in shown("outbox")
    assert len(backlog.coming()) == 8

    found = relay_all(router, limit=7)

    assert found.events == 8
    # Nothing can refer to the one; of the other it is said on each delivery.
    assert statuses() == {**dict.fromkeys(before + after, "pending"), odd[1]: "dead"}
    assert Delivery.objects.get(event_id=odd[1]).error.startswith("DataError: timestamp too ")
    noted = unroutable.found()
    assert sorted(one.seq for one in noted.newest) == odd
    assert "unroutable: 2" in shown("outbox")
    assert backlog.measure().unread == 0
    for one in noted.newest:
        assert str(one.id) in shown("trace", str(one.id))


def test_an_unread_event_of_a_time_to_come_has_no_lag(router: Router, sql: Sql) -> None:
    write(sql, recorded_at="infinity")

    assert backlog.measure().lag.total_seconds() == 0
    assert "unread: 1, all of a time that is not here yet" in shown("outbox")


def test_what_the_deliveries_refuse_is_dead_and_seen(
    router: Router, sql: Sql, refusing: Callable[[str], None]
) -> None:
    refusing("company <> 'odd' OR status = 'dead'")
    first, odd, last = write(sql), write(sql, "odd"), write(sql)

    relay_all(router)

    assert statuses() == {first: "pending", odd: "dead", last: "pending"}
    [noted] = unroutable.found().newest
    assert (noted.seq, noted.company) == (odd, "odd")
    assert 'violates check constraint "refusing"' in noted.reason


def test_what_cannot_even_be_dead_is_set_aside_and_read_again_when_mended(
    router: Router, sql: Sql, refusing: Callable[[str], None]
) -> None:
    refusing("company <> 'odd'")
    first, odd, last = write(sql), write(sql, "odd"), write(sql)
    relay_all(router)
    assert statuses() == {first: "pending", last: "pending"}
    assert unroutable.found().count == 1
    sql("UPDATE event_system_event SET company = 'mended' WHERE seq = %s", odd)

    call_command("outbox", "--route-again")
    relay_all(router)

    assert statuses() == dict.fromkeys([first, odd, last], "pending")
    assert unroutable.found().count == 0


def test_an_event_that_no_run_can_be_offered_is_delivered_and_seen(
    router: Router, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, odd, last = (write(sql) for _ in range(3))

    def offer(events: list[Event]) -> None:
        if odd in [event.seq for event in events]:
            raise RecursionError("too deep")

    monkeypatch.setattr(runs, "offer", offer)

    relay_all(router)

    assert statuses() == dict.fromkeys([first, odd, last], "pending")
    assert [one.reason for one in unroutable.found().newest] == ["RecursionError: too deep"]


def test_a_whole_page_of_odd_events_is_passed(router: Router, sql: Sql) -> None:
    sql(
        'INSERT INTO event_system_event (source, company, "table", operation, recorded_at)'
        " SELECT 'sql', 'acme', 'orders', 'INSERT', 'infinity' FROM generate_series(1, 40)"
    )
    last = write(sql)

    relay_all(router)

    assert statuses() == {last: "pending"}
    assert unroutable.found().count == 40


def test_a_fault_of_ours_sets_nothing_aside(
    router: Router, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    seq = write(sql)

    def broken(self: Router) -> None:
        raise ValueError("a release that cannot load subscriptions")

    with monkeypatch.context() as release:
        release.setattr(Router, "refresh", broken)
        with pytest.raises(ValueError, match="a release"):
            relay_all(router)
    assert unroutable.found().count == 0

    relay_all(router)

    assert statuses() == {seq: "pending"}
    assert RelayCursor.objects.get().highest_seq == seq


def test_what_was_set_aside_is_forgotten_with_its_event(router: Router, sql: Sql) -> None:
    write(sql, recorded_at="infinity")
    relay_all(router)
    assert unroutable.forget() == 0

    sql("TRUNCATE event_system_event")

    assert unroutable.forget() == 1


def test_a_dead_delivery_of_an_odd_time_is_replayed(router: Router, sql: Sql) -> None:
    # Refused without dialling.
    sql('UPDATE event_system_subscription SET config = \'{"url": "http://127.0.0.1:9/"}\'')
    seq = write(sql, timestamp="infinity")
    relay_all(router)
    dead = Delivery.objects.get()

    assert replay(dead.subscription_id).again == 1
    deliver([dead.pk])

    found = Delivery.objects.get(event_id=seq)
    assert (found.status, found.generation, found.attempts) == ("retrying", 2, 1)
    assert "127.0.0.1" in found.error
