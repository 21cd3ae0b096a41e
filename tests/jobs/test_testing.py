"""The testing kit: runs in this process, on a transaction or without one, killed and recovered."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Protocol

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.db import IntegrityError, connection, transaction

from jobs import Context, Limit, Rate, Retry, parallel, sleep, step, wait_for, workflow
from jobs.errors import RunFailed
from jobs.models import Run, StepRun
from jobs.registry import registry
from jobs.testing import (
    StillWaiting,
    assert_compensated,
    crash_points,
    killed_at,
    recorded_points,
    recover,
    run_inline,
)
from tests.jobs import flows, vocabulary
from tests.jobs.conftest import CALLS


class Supplier(Protocol):
    def order(self, number: int) -> str: ...


class FakeSupplier:
    def __init__(self) -> None:
        self.orders: list[int] = []

    def order(self, number: int) -> str:
        self.orders.append(number)
        return f"PO-{number}"


@step(name="kit-order")
def order(ctx: Context, number: int) -> str:
    supplier: Supplier = ctx.services.get(Supplier)
    return supplier.order(number)


@workflow(name="kit/order")
def ordering(number: int) -> str:
    return order(number)


@step(name="kit-commit")
def commit(ctx: Context, name: str) -> None:
    transaction.on_commit(lambda: CALLS.append(f"{name} committed"))
    CALLS.append(f"{name} written")


@step(name="kit-commit-atomic", atomic=True)
def commit_atomic(ctx: Context, name: str, fails: bool) -> None:
    transaction.on_commit(lambda: CALLS.append(f"{name} committed"))
    CALLS.append(f"{name} written")
    if fails and ctx.attempt == 1:
        raise Retry


@workflow(name="kit/committing")
def committing(fails: bool) -> None:
    commit("plain")
    commit_atomic("atomic", fails)
    commit.options(name="last")("last")


@step(name="kit-twice")
def twice(ctx: Context, name: str) -> str:
    Group.objects.create(name=name)
    try:
        Group.objects.create(name=name)
    except IntegrityError:
        return "refused"
    return "taken"


@step(name="kit-many")
def many(ctx: Context, name: str) -> str:
    try:
        Group.objects.bulk_create([Group(name=f"{name} new"), Group(name=name)], batch_size=1)
    except IntegrityError:
        return "refused"
    return "taken"


@workflow(name="kit/twice")
def doubling(name: str) -> list[str]:
    return [twice(name), many(name)]


@step(name="kit-limited", rate=Rate(1, per=timedelta(hours=1)))
def limited(ctx: Context, number: int) -> int:
    return number


@workflow(name="kit/limited")
def limiting(number: int) -> int:
    limited(number)
    limited(number)
    return limited(number)


@workflow(name="kit/single", concurrency=Limit(1))
def single(number: int) -> int:
    return flows.a(number)


@workflow(name="kit/hurried", timeout=timedelta(hours=1))
def hurried(number: int) -> int:
    first = flows.a(number)
    sleep(timedelta(days=1))
    return flows.plain(first)


@workflow(name="kit/two-waits")
def two_waits(number: int) -> Any:
    first = flows.a(number)
    left, _ = parallel(
        lambda: vocabulary.seen(
            wait_for("kit.paid", match={"order": first}, timeout=timedelta(days=2))
        ),
        lambda: vocabulary.seen(wait_for("kit.sent", timeout=timedelta(days=1))),
    )
    return left


@pytest.fixture(autouse=True)
def _behave() -> Iterator[None]:
    flows.MISBEHAVIOUR.clear()
    yield
    flows.MISBEHAVIOUR.clear()


@pytest.fixture(params=["db", "transactional_db"])
def database(request: pytest.FixtureRequest) -> str:
    """A transaction around the test, and none."""
    request.getfixturevalue(request.param)
    return str(request.param)


def test_a_run_ends_in_the_test_s_process(database: str, calls: list[str]) -> None:
    run = run_inline(flows.diamond, 1, company="acme", env="test")

    assert (run.status, run.company, run.env) == ("succeeded", "acme", "test")
    assert run.result(timeout=0) == 2 + 1 + 2 + 2
    assert calls.count("flow-b") == 1


def test_a_run_that_fails_is_returned_with_its_rollback(database: str, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail

    run = run_inline(flows.chain, 1, company=None)

    assert (run.status, run.rollback) == ("failed", "complete")
    assert calls.count("flow-plain") == 3
    assert_compensated(run, ["flow-a#2", "flow-a"])
    with pytest.raises(RunFailed, match="not now"):
        run.result(timeout=0)


def test_services_are_replaced_by_type_while_it_runs(db: None) -> None:
    supplier = FakeSupplier()

    run = run_inline(ordering, 7, company="acme", services={Supplier: supplier})
    without = run_inline(ordering, 8, company="acme")

    assert run.output == "PO-7"
    assert supplier.orders == [7]
    assert without.error is not None
    assert without.error["type"] == "ServiceNotFoundError"


@pytest.mark.parametrize("fails", [False, True])
def test_callbacks_are_called_where_their_transaction_commits(
    database: str, calls: list[str], fails: bool
) -> None:
    run_inline(committing, fails, company="acme")

    assert calls == [
        *("plain written", "plain committed"),
        *(["atomic written"] if fails else []),  # and rolled back
        *("atomic written", "atomic committed"),
        *("last written", "last committed"),
    ]


def test_callbacks_from_before_the_run_are_left_alone(db: None, calls: list[str]) -> None:
    transaction.on_commit(lambda: CALLS.append("earlier"))

    run_inline(committing, False, company="acme")

    assert "earlier" not in calls
    assert len(connection.run_on_commit) == 1


def test_a_statement_that_fails_leaves_the_others_alone(database: str) -> None:
    assert run_inline(doubling, "one", company="acme").output == ["refused", "refused"]
    assert list(Group.objects.values_list("name")) == [("one",)]


def test_a_year_of_sleep_takes_no_time(database: str, calls: list[str]) -> None:
    run = run_inline(vocabulary.sleeping, 3, company="acme")

    assert (run.status, run.output) == ("succeeded", 3)
    assert calls == ["word-plain", "word-awake"]


def test_the_test_s_own_clock_changes_nothing(db: None) -> None:
    with time_machine.travel("2001-01-01", tick=False):
        run = run_inline(vocabulary.sleeping, 3, company="acme")

    assert run.status == "succeeded"


def test_a_time_out_of_the_run_comes_before_a_later_sleep(db: None) -> None:
    run = run_inline(hurried, 3, company="acme")

    assert run.error is not None
    assert (run.status, run.error["type"]) == ("failed", "RunTimeout")
    assert_compensated(run, ["flow-a"])


def test_a_rate_is_waited_for(db: None) -> None:
    run = run_inline(limiting, 3, company="acme")

    assert run.status == "succeeded"


def test_events_go_to_the_waits_that_they_match(database: str) -> None:
    run = run_inline(
        two_waits,
        1,
        company="acme",
        events=[
            ("kit.paid", {"order": 99, "by": "nobody"}),
            ("kit.sent", {}),
            ("kit.paid", lambda run: {"order": run.input["number"] + 1, "by": "card"}),
        ],
    )

    assert run.output == {"order": 2, "by": "card"}


def test_a_wait_without_its_event_is_told(db: None) -> None:
    with pytest.raises(StillWaiting) as caught:
        run_inline(two_waits, 1, company="acme", events=[("kit.sent", {}), ("kit.lost", {})])

    says = str(caught.value)
    assert "waits at 'wait-for-1' for the event 'kit.paid' with {\"order\": 2}" in says
    assert "no wait has taken: kit.lost" in says
    waiting = caught.value.run
    waiting.send("kit.paid", {"order": 2})
    assert recover(waiting).output == {"order": 2}


def test_a_wait_may_time_out(db: None) -> None:
    run = run_inline(two_waits, 1, company="acme", let_waits_time_out=True)

    assert (run.status, run.output) == ("succeeded", None)


def test_an_event_that_was_sent_before_its_wait_counts(db: None) -> None:
    run = run_inline(two_waits, 1, company="acme", crash_at="claimed")
    run.send("kit.paid", {"order": 2})

    assert recover(run, events=[("kit.sent", {})]).output == {"order": 2}


def test_a_run_that_waits_for_code_is_told(db: None, forget_definitions: None) -> None:
    run = run_inline(flows.chain, 1, company="acme", crash_at="claimed")
    del registry.steps["flow-a"]

    with pytest.raises(StillWaiting, match="waits at 'flow-a' for code"):
        recover(run)


def test_a_place_that_another_run_holds_is_told(db: None) -> None:
    other = run_inline(single, 1, company="acme", crash_at="code-returned")

    with pytest.raises(StillWaiting, match=f"which other runs hold: kit/single {other.pk}"):
        run_inline(single, 2, company="acme")

    assert recover(other).status == "succeeded"


def test_child_runs_end_with_their_parent(database: str) -> None:
    run = run_inline(vocabulary.parent, 3, company="acme")

    child = Run.objects.get(parent__run=run)
    assert (run.status, child.status, run.output) == ("succeeded", "succeeded", 3)


def test_runs_elsewhere_stay_where_they_are(db: None) -> None:
    other = flows.chain.start(1, company="acme")

    run_inline(vocabulary.sleeping, 3, company="acme")

    assert Run.objects.get(pk=other.pk).status == "queued"
    assert recover(other).status == "succeeded"


# Compensations


def failed(**more: Any) -> Run:
    flows.MISBEHAVIOUR["flow-b"] = flows.fail_for_good
    return run_inline(flows.diamond, 1, company="acme", **more)


def test_a_set_stands_for_nodes_in_any_order(db: None) -> None:
    run = failed()

    assert_compensated(run, [{"flow-a#2", "flow-a#3", "flow-a#4"}, "flow-a"])


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        (["flow-a"], "not expected: flow-a#2, flow-a#3, flow-a#4"),
        ([{"flow-a#2", "flow-a#3", "flow-a#4"}, "flow-a", "flow-b"], "not compensated: flow-b"),
        (["flow-a", {"flow-a#2", "flow-a#3", "flow-a#4"}], "their order is not"),
        ([], "expected: nothing"),
    ],
)
def test_a_difference_is_told_readably(db: None, expected: Any, says: str) -> None:
    run = failed()

    with pytest.raises(AssertionError, match=says):
        assert_compensated(run, expected)


def test_a_compensation_that_failed_is_told(db: None) -> None:
    flows.MISBEHAVIOUR["flow-a.compensate"] = flows.fail_for_good
    run = failed()

    with pytest.raises(AssertionError, match=r"failed: flow-a.compensate \(no\)") as caught:
        assert_compensated(run, [{"flow-a#2", "flow-a#3", "flow-a#4"}, "flow-a"])

    assert "rollback incomplete" in str(caught.value)


# Kills


def test_a_killed_run_is_where_the_kill_left_it(database: str, calls: list[str]) -> None:
    run = run_inline(flows.chain, 1, company="acme", crash_at="code-returned")

    killed = StepRun.objects.get(run=run)
    assert (run.status, killed.status, killed.attempts) == ("running", "running", 1)
    assert calls == ["flow-a"]


def test_another_worker_goes_on_after_the_lease(database: str, calls: list[str]) -> None:
    run = run_inline(flows.chain, 1, company="acme", crash_at="code-returned")

    ended = recover(run)

    assert (ended.status, ended.output) == ("succeeded", 3)
    assert calls == ["flow-a", "flow-a", "flow-a#2", "flow-plain"]
    first = StepRun.objects.get(run=run, node="flow-a")
    assert list(first.tries.order_by("number").values_list("outcome", "worker")) == [
        ("lost", "run-inline"),
        ("succeeded", "recovery"),
    ]


def test_a_kill_inside_a_transaction_leaves_nothing_of_it(database: str) -> None:
    run = run_inline(vocabulary.parent, 1, company="acme", crash_at="child-written")

    assert not Run.objects.filter(parent__run=run).exists()
    assert StepRun.objects.get(run=run, kind="child").status == "running"
    assert recover(run).status == "succeeded"


def test_the_nth_time_at_a_point_can_be_named(db: None, calls: list[str]) -> None:
    run_inline(flows.chain, 1, company="acme", crash_at="code-returned#3")

    assert calls == ["flow-a", "flow-a#2", "flow-plain"]


def test_a_killed_run_may_be_killed_again(db: None, calls: list[str]) -> None:
    run = run_inline(flows.chain, 1, company="acme", crash_at="code-returned")
    run = recover(run, crash_at="claimed")

    assert recover(run).status == "succeeded"
    assert StepRun.objects.get(run=run, node="flow-a").attempts == 3


def test_a_step_whose_every_worker_dies_fails(db: None) -> None:
    run = run_inline(flows.chain, 1, company="acme", crash_at="claimed")
    for _ in range(2):
        run = recover(run, crash_at="claimed")

    ended = recover(run)

    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "WorkerLost")


def test_a_lever_can_be_killed_too(database: str) -> None:
    run = run_inline(flows.chain, 1, company="acme")

    with killed_at("cancel-written") as kill:
        run.cancel(reason="a test")

    assert kill.happened
    assert recover(run).status == "succeeded"
    run.cancel(reason="a test")
    assert recover(run).status == "cancelled"


def test_a_dead_process_says_no_more_to_the_database(db: None) -> None:
    with killed_at("code-returned"):
        try:
            run_inline(flows.chain, 1, company="acme")
        finally:
            Group.objects.create(name="too late")

    assert not Group.objects.filter(name="too late").exists()


def test_a_point_that_is_never_reached_changes_nothing(db: None) -> None:
    assert run_inline(flows.chain, 1, company="acme", crash_at="unfolded").status == "succeeded"


def test_an_unknown_point_is_refused_with_those_there_are(db: None) -> None:
    with pytest.raises(ValueError, match="no crash point 'clamed'; it takes one of received"):
        run_inline(flows.chain, 1, company="acme", crash_at="clamed")


def test_the_points_of_a_run_can_be_written_down(db: None) -> None:
    with recorded_points() as points:
        run_inline(flows.chain, 1, company="acme")

    assert points == [
        *("sending", "sent", "received", "claimed"),
        *("code-returned", "outcome-written", "outcome-committed"),
        *("code-returned#2", "outcome-written#2", "outcome-committed#2"),
        *("code-returned#3", "outcome-written#3", "outcome-committed#3"),
    ]
    assert {point.partition("#")[0] for point in points} < set(crash_points())
