"""Steps that take long, inside a transaction or out of it."""

import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from jobs import Context, Limit, Rate, execution, services, step, workflow
from jobs.injection import register_service
from jobs.models import Attempt, Run, StepRun
from jobs.transitions import claims
from tests.jobs import flows, limited
from tests.jobs.conftest import CALLS, Post

pytestmark = pytest.mark.usefixtures("behaviour")


@step(name="long-atomic", atomic=True)
def at_once(ctx: Context, number: int) -> int:
    ctx.undo_with({"number": number})
    ctx.progress(0.5, "half")
    ctx.heartbeat()
    flows._note(ctx)
    return number


@at_once.compensation
def undo_at_once(ctx: Context, data: Any) -> None:
    CALLS.append(f"{ctx.step}({data})")


@workflow(name="long/atomic")
def atomically(number: int) -> int:
    return flows.plain(at_once(number))


def test_an_atomic_step_holds_no_lock_that_its_lease_waits_for(
    post: Post, calls: list[str]
) -> None:
    run = atomically.start(1, company="acme")
    extended: list[int] = []

    def beat() -> None:
        extended.append(claims.extend_leases(["w"], lease=settings.JOBS_LEASE))
        connection.close()

    def look(ctx: Context) -> None:
        thread = threading.Thread(target=beat)
        thread.start()
        thread.join()

    flows.MISBEHAVIOUR["long-atomic"] = look
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    execution.perform(post.waiting.pop().step_run_id, worker="w")

    assert extended == [1]

    assert post.run_to_the_end(run).rollback == "complete"
    assert calls[-1] == "long-atomic.compensate({'number': 1})"
    row = StepRun.objects.get(run=run.pk, node="long-atomic")
    assert (row.progress, row.progress_note) == (0.5, "half")


def test_an_atomic_step_whose_lease_is_another_s_hears_of_it(post: Post) -> None:
    run = atomically.start(1, company="acme")
    row = StepRun.objects.get(run=run.pk)

    def lose(ctx: Context) -> None:
        StepRun.objects.filter(pk=row.pk).update(fence=99)
        ctx.heartbeat()

    flows.MISBEHAVIOUR["long-atomic"] = lose

    assert post.deliver_one() == "lease lost"


class Clinging:
    """A service that does not let go."""


def clinging() -> Any:
    yield Clinging()
    time.sleep(60)


@step(name="long-service", attempts=1, timeout=timedelta(seconds=0.3))
def with_service(ctx: Context, number: int) -> int:
    ctx.services.get(Clinging)
    return number


@workflow(name="long/service")
def serviced(number: int) -> int:
    return with_service(number)


# The container says so when it goes, and nobody could close it any more.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_service_that_does_not_close_is_interrupted_with_its_step(post: Post) -> None:
    register_service(Clinging, clinging)
    run = serviced.start(1, company="acme")

    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "failed"
    assert Attempt.objects.get(step_run__run=run.pk).outcome == "timeout"


def endless(number: int) -> str:
    time.sleep(60)
    return "never"


@step(name="long-key", rate=Rate(1, per=timedelta(hours=1), key=endless))
def endless_key(ctx: Context, number: int) -> int:
    return number


@step(name="long-place", concurrency=Limit(1, key=endless))
def endless_place(ctx: Context, number: int) -> int:
    return number


@workflow(name="long/key")
def keyed(number: int) -> int:
    return endless_key(number)


@workflow(name="long/place")
def placed(number: int) -> int:
    return endless_place(number)


@pytest.mark.parametrize("flow", [keyed, placed])
def test_a_key_function_that_never_returns_fails_its_run(
    post: Post, monkeypatch: pytest.MonkeyPatch, flow: Any
) -> None:
    monkeypatch.setattr("jobs.admission.KEY_TIMEOUT", timedelta(seconds=0.2))
    run = flow.start(1, company="acme")

    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "failed"


def test_a_step_is_not_passed_over_for_one_that_must_not_start(
    post: Post, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    from jobs.services import levers

    low = limited.low.start(1, company="acme")
    high = limited.high.start(2, company="acme")
    with monkeypatch.context() as patch:
        patch.setattr(levers, "give_up_unstarted", lambda _: None)
        services.cancel(high.pk, reason="no", by="ann")
    post.waiting = [one for one in post.waiting if one.run_id == low.pk]

    post.deliver_all()

    assert calls == ["lim-low"]
    assert Run.objects.get(pk=low.pk).status == "succeeded"
