"""Events that runs wait for, and events that runs publish."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from pydantic import BaseModel
from pytest_django import Settings

from jobs import Context, PermanentFailure, dispatch, step, wait_for, workflow
from jobs.models import Run, Wait
from subscriptions import contracts, event, publish, runs
from subscriptions.errors import UnknownEventType
from subscriptions.models import Event
from subscriptions.relay import relay_all
from subscriptions.routing import Router
from tests.jobs.conftest import Post
from tests.subscriptions.conftest import Messages, Sql

pytestmark = pytest.mark.django_db(transaction=True)

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@event("runs.settled")
class Settled(BaseModel):
    order: str
    amount: int = 0


@event("runs.opened")
class Opened(BaseModel):
    order: str


@step(name="runs-before")
def before(ctx: Context, order: str) -> str:
    return order


@step(name="runs-announce")
def announce(ctx: Context, order: str) -> str:
    ctx.publish(Settled(order=order, amount=3), key=order)
    ctx.publish("runs.opened", {"order": order})
    return order


@step(name="runs-fail")
def fail(ctx: Context, order: str) -> str:
    if order == "bad":
        raise PermanentFailure("no")
    return order


@workflow(name="runs/waiting")
def waiting(order: str) -> Any:
    return wait_for("runs.settled", match={"order": before(order)}, timeout=timedelta(days=3))


@workflow(name="runs/announcing")
def announcing(order: str) -> str:
    return fail(announce(order))


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch, settings: Settings, messages: Messages) -> Post:
    """The wake-ups, which the test delivers, one for each step; nothing goes to a broker."""
    settings.JOBS_IN_PLACE = timedelta(0)
    made = Post()
    monkeypatch.setattr(dispatch, "send", made.send)
    return made


@pytest.fixture
def kept_contracts() -> Iterator[None]:
    """Let a test deploy other contracts."""
    before = {name: dict(versions) for name, versions in contracts._types.items()}
    yield
    contracts._types.clear()
    contracts._types.update(before)


def status(run: Any) -> tuple[str, Any]:
    found = Run.objects.get(pk=run.pk)
    return found.status, found.output


def relayed(post: Post) -> None:
    relay_all(Router())
    post.deliver_all()


def test_an_event_that_comes_during_the_wait_ends_it(post: Post) -> None:
    run = waiting.start("o-1", company="acme")
    post.deliver_all()
    relayed(post)
    assert status(run) == ("waiting", None)

    publish(Settled(order="o-1", amount=5), company="acme")
    relayed(post)

    assert status(run) == ("succeeded", {"order": "o-1", "amount": 5})


def test_what_another_company_type_or_order_says_is_not_heard(post: Post) -> None:
    run = waiting.start("o-1", company="acme")
    publish(Settled(order="o-1"), company="globex")  # before the wait, and again during it
    publish(Settled(order="o-1"), company=None)
    post.deliver_all()

    publish(Settled(order="o-1"), company="globex")
    publish(Settled(order="o-1"), company=None)
    publish(Settled(order="o-2"), company="acme")
    publish(Opened(order="o-1"), company="acme")
    relayed(post)

    assert status(run) == ("waiting", None)
    assert Wait.objects.count() == 1


def test_a_run_of_the_platform_hears_the_platforms_events_only(post: Post) -> None:
    run = waiting.start("o-1", company=None)
    publish(Settled(order="o-1", amount=1), company="acme")
    post.deliver_all()
    publish(Settled(order="o-1", amount=2), company="acme")
    relayed(post)
    assert status(run) == ("waiting", None)

    publish(Settled(order="o-1", amount=3), company=None)
    relayed(post)

    assert status(run) == ("succeeded", {"order": "o-1", "amount": 3})


@pytest.mark.parametrize("is_routed", [True, False])
def test_an_event_from_before_the_wait_and_after_the_start_counts(
    post: Post, is_routed: bool
) -> None:
    publish(Settled(order="o-1", amount=1), company="acme")  # before the start: it does not
    run = waiting.start("o-1", company="acme")
    publish(Settled(order="o-1", amount=2), company="acme")
    publish(Settled(order="o-1", amount=3), company="acme")
    if is_routed:
        relay_all(Router())

    post.deliver_all()
    relayed(post)

    assert status(run) == ("succeeded", {"order": "o-1", "amount": 2})
    assert Wait.objects.count() == 0


def test_each_wait_takes_its_own_event_from_one_page(post: Post) -> None:
    numbers = range(250)  # more than are offered in one statement
    started = [waiting.start(f"o-{n}", company="acme") for n in numbers]
    post.deliver_all()

    for n in numbers:
        publish(Settled(order=f"o-{n}", amount=n), company="acme")
    relayed(post)

    assert [status(run) for run in started] == [
        ("succeeded", {"order": f"o-{n}", "amount": n}) for n in numbers
    ]


def test_an_event_of_a_rolled_back_page_is_offered_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = waiting.start("o-1", company="acme")
    post.deliver_all()
    publish(Settled(order="o-1"), company="acme")

    with monkeypatch.context() as patched:
        patched.setattr("subscriptions.relay._move_on", _killed)
        with pytest.raises(RuntimeError):
            relay_all(Router())
    assert (status(run), post.waiting) == (("waiting", None), [])

    relayed(post)
    assert status(run)[0] == "succeeded"


def _killed(*_: Any) -> None:
    raise RuntimeError("killed before the commit")


def test_an_event_that_jsonb_refuses_keeps_no_other_from_its_wait(post: Post, sql: Sql) -> None:
    run = waiting.start("o-1", company="acme")
    post.deliver_all()

    for payload in (r'{"order": "\u0000"}', '{"order": 1e999999}', "[" * 5_000 + "]" * 5_000):
        sql(
            "INSERT INTO event_system_event (source, company, type, payload)"
            " VALUES ('code', 'acme', 'runs.settled', %s)",
            payload,
        )
    publish(Settled(order="o-1", amount=7), company="acme")
    relayed(post)

    assert status(run) == ("succeeded", {"order": "o-1", "amount": 7})


def test_a_past_event_that_jsonb_refuses_keeps_no_other_from_its_wait(post: Post, sql: Sql) -> None:
    run = waiting.start("o-1", company="acme")
    for payload in (r'{"order": "o-1", "x": "\u0000"}', "[" * 5_000 + "]" * 5_000):
        sql(
            "INSERT INTO event_system_event (source, company, type, payload)"
            " VALUES ('code', 'acme', 'runs.settled', %s)",
            payload,
        )
    publish(Settled(order="o-1", amount=7), company="acme")

    post.deliver_all()

    assert status(run) == ("succeeded", {"order": "o-1", "amount": 7})


def test_relaying_asks_once_a_page_and_never_where_nothing_has_a_type(
    django_assert_num_queries: Any,
) -> None:
    rows: Any = [Event(type=None, company="acme")] * 1000
    with django_assert_num_queries(0):
        assert runs.offer(rows) == 0
    typed: Any = [Event(type=f"t-{n % 7}", company=f"c-{n % 9}") for n in range(1000)]
    with django_assert_num_queries(1):
        assert runs.offer(typed) == 0


def test_published_events_are_visible_if_and_only_if_the_run_succeeds(post: Post) -> None:
    bad = announcing.start("bad", company="acme")
    good = announcing.start("good", company="acme")
    while post.waiting:
        assert status(good)[0] == "succeeded" or Event.objects.count() == 0
        post.deliver_one()

    assert (status(bad)[0], status(good)[0]) == ("failed", "succeeded")
    told = Event.objects.order_by("seq").values_list(
        "type", "version", "company", "payload", "key", "correlation_id", "depth"
    )
    correlation = str(good.pk)
    assert list(told) == [
        ("runs.settled", 1, "acme", {"order": "good", "amount": 3}, "good", correlation, 1),
        ("runs.opened", 1, "acme", {"order": "good"}, None, correlation, 1),
    ]


def test_an_event_that_breaks_its_contract_is_refused_when_it_is_given() -> None:
    with pytest.raises(ValueError, match="amount"):
        runs.describe("runs.settled", {"order": "x", "amount": "many"})
    with pytest.raises(UnknownEventType, match="not declared"):
        runs.describe("runs.unknown", {})


def test_a_contract_that_changed_meanwhile_does_not_keep_a_run_from_its_end(
    post: Post, kept_contracts: None
) -> None:
    run = announcing.start("good", company="acme")
    post.deliver_one()

    class Stricter(BaseModel):
        order: str
        amount: int
        currency: str

    event("runs.settled", version=2)(Stricter)
    del contracts._types["runs.opened"]
    post.deliver_all()

    assert status(run)[0] == "succeeded"
    told = Event.objects.order_by("seq").values_list("type", "version")
    assert list(told) == [("runs.settled", 1), ("runs.opened", None)]


def test_past_events_are_read_in_pieces_by_the_index(sql: Sql) -> None:
    sql(
        "INSERT INTO event_system_event (source, company, type, payload)"
        " SELECT 'code', 'c' || n % 100, 't' || n % 50, json_build_object('n', n)"
        " FROM generate_series(1, 20000) AS n"
    )
    sql("ANALYZE event_system_event")

    found = [payload["n"] for payload in runs.past("t7", "c7", BEGINNING)]
    assert found == list(range(7, 20_000, 100))
    assert list(runs.past("t7", "c7", BEGINNING, {"n": 107})) == [{"n": 107}]
    assert list(runs.past("t7", "c7", datetime.now(UTC) + timedelta(hours=1))) == []
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN SELECT payload FROM event_system_event WHERE type = 't7' AND company = 'c7'"
            " AND recorded_at >= '2000-01-01' ORDER BY recorded_at, seq"
        )
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "type_company" in plan
