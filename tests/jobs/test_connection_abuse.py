"""Steps that do to Django's connection what they should not."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from jobs import Context, services, step, workflow
from jobs.models import Attempt, Definition, Memo, Run
from tests.jobs import flows, limited
from tests.jobs.conftest import Post

pytestmark = pytest.mark.usefixtures("behaviour")


def _close() -> None:
    connection.close()


def _write_and_close() -> None:
    Definition.objects.create(hash="abuse", workflow="abuse", plan={})
    connection.close()


def _break() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 / 0")
    except Exception:  # noqa: S110 - what it tests
        pass


def _mark() -> None:
    transaction.set_rollback(True)


def _defer() -> None:
    Memo.objects.create(step_run_id=999_999_999, name="abuse", value=1)


def _start() -> None:
    limited.low.start(1, company="abuse")
    raise RuntimeError("after the start")


DO: dict[str, Any] = {
    "close": _close,
    "write": _write_and_close,
    "break": _break,
    "mark": _mark,
    "defer": _defer,
    "start": _start,
}


@step(name="abuse-atomic", atomic=True, attempts=2)
def inside(ctx: Context, how: str) -> str:
    DO[how]()
    return how


@step(name="abuse-plain", attempts=2)
def outside(ctx: Context, how: str) -> str:
    DO[how]()
    return how


@workflow(name="abuse/atomic")
def atomically(how: str) -> str:
    return inside(how)


@workflow(name="abuse/plain")
def plainly(how: str) -> str:
    return outside(how)


@pytest.mark.parametrize("how", DO)
def test_an_atomic_step_that_spoils_its_transaction_fails_and_leaves_nothing(
    ways: Post, how: str
) -> None:
    run = atomically.start(how, company="acme")

    ended = ways.run_to_the_end(run)

    assert ended.status == "failed"
    assert list(Attempt.objects.values_list("outcome", flat=True)) == ["failed"] * 2
    assert not Definition.objects.filter(workflow="abuse").exists()
    assert not Run.objects.filter(company="abuse").exists()
    assert not connection.in_atomic_block
    assert connection.get_autocommit()
    after = limited.low.start(1, company="acme")
    assert ways.run_to_the_end(after).status == "succeeded"


@pytest.mark.parametrize(("how", "status"), [("close", "succeeded"), ("break", "succeeded")])
def test_a_plain_step_may_lose_its_connection(ways: Post, how: str, status: str) -> None:
    run = plainly.start(how, company="acme")

    assert ways.run_to_the_end(run).status == status


@step(name="abuse-own", attempts=1)
def cancels_itself(ctx: Context, number: int) -> int:
    services.cancel(ctx.run_id, reason="enough", by="itself")
    return number


@step(name="abuse-own-atomic", attempts=1, atomic=True)
def cancels_itself_inside(ctx: Context, number: int) -> int:
    services.cancel(ctx.run_id, reason="enough", by="itself")
    return number


@workflow(name="abuse/own")
def own(number: int) -> int:
    return flows.plain(cancels_itself(flows.a(number)))


@workflow(name="abuse/own-atomic")
def own_inside(number: int) -> int:
    return flows.plain(cancels_itself_inside(flows.a(number)))


@pytest.mark.parametrize("flow", [own, own_inside])
def test_a_step_may_cancel_its_own_run(ways: Post, calls: list[str], flow: Any) -> None:
    run = flow.start(1, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("cancelled", "complete")
    assert calls == ["flow-a", "flow-a.compensate(2)"]


@step(name="abuse-session", attempts=1)
def setting(ctx: Context, statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
    return statement


@workflow(name="abuse/session")
def set_for_good(statement: str) -> str:
    return setting(statement)


@pytest.mark.parametrize(
    "statement", ["SET search_path TO nowhere", "SET default_transaction_read_only = on"]
)
def test_what_a_step_sets_for_its_session_is_no_other_s(post: Post, statement: str) -> None:
    set_for_good.start(statement, company="acme")
    with pytest.raises(DatabaseError):
        post.deliver_one()

    after = limited.low.start(1, company="acme")

    assert post.run_to_the_end(after).status == "succeeded"
