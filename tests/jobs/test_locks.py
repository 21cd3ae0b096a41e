"""Who waits for whose locks: nobody for good, and leases for nobody."""

import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.conf import settings
from django.db import connection, transaction

from jobs import Context, Limit, execution, parallel, services, sleep, step, workflow
from jobs.models import Attempt, Run, StepRun
from jobs.transitions import claims
from tests.jobs import flows, limited
from tests.jobs.conftest import Post
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("behaviour")


@workflow(name="locks/asleep")
def asleep(number: int) -> int:
    """A pair of branches in a plan that has a node which waits."""
    left, _, right = parallel(flows.a(number), flows.plain(number), flows.a(number))
    sleep(timedelta(days=1))
    return flows.b(left, right)


class Others:
    """Work of other connections, each in a thread of its own."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def begin(self, work: Callable[[], object], *, blocked: int) -> None:
        """Start the work and return when that many connections wait for a lock."""
        thread = threading.Thread(target=self._do, args=[work])
        thread.start()
        self._threads.append(thread)
        wait_until(lambda: waiting() >= blocked, what=f"{blocked} connections wait for a lock")

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except execution.StepFailed:
            pass
        except BaseException as error:
            self.errors.append(error)
        finally:
            connection.close()

    def finish(self) -> None:
        for thread in self._threads:
            thread.join()
        assert self.errors == []


def waiting() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        (count,) = cursor.fetchone()
    return int(count)


def perform(run: Run, node: str) -> Callable[[], object]:
    id_ = StepRun.objects.get(run=run, node=node).pk
    return lambda: execution.perform(id_, worker=f"worker-{node}")


def hold(sql: str, parameter: UUID | int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, [parameter])


def test_a_branch_that_fails_and_one_that_ends_never_wait_for_each_other(post: Post) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    run = Run.objects.get(pk=asleep.start(1, company="acme").pk)
    others = Others()
    failing, ending = perform(run, "flow-plain"), perform(run, "flow-a")
    perform(run, "flow-a#2")()
    with transaction.atomic():
        hold("SELECT FROM jobs_run WHERE id = %s FOR NO KEY UPDATE", run.pk)
        others.begin(failing, blocked=1)
        others.begin(ending, blocked=2)
    others.finish()

    assert post.run_to_the_end(run).rollback == "complete"
    outcomes = Attempt.objects.filter(step_run__run=run, step_run__phase="forward")
    assert sorted(outcomes.values_list("step_run__node", "outcome")) == [
        ("flow-a", "succeeded"),
        ("flow-a#2", "succeeded"),
        ("flow-plain", "failed"),
    ]


def test_a_cancel_inside_a_transaction_holds_no_step_until_it_commits(post: Post) -> None:
    run = Run.objects.get(pk=limited.sides.start(1, company="acme").pk)
    post.deliver_one()
    others = Others()
    ending = perform(run, "lim-b")
    with transaction.atomic():
        assert services.cancel(run.pk, reason="no", by="ann")
        thread = threading.Thread(target=others._do, args=[ending])
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive()
    assert others.errors == []

    ended = post.run_to_the_end(run)
    assert (ended.status, ended.rollback) == ("cancelled", "complete")


def test_a_cancel_that_is_rolled_back_changes_nothing(post: Post) -> None:
    run = Run.objects.get(pk=limited.sides.start(1, company="acme").pk)
    with transaction.atomic():
        services.cancel(run.pk, reason="no", by="ann")
        transaction.set_rollback(True)

    assert post.run_to_the_end(run).status == "succeeded"


def test_leases_are_extended_past_a_step_whose_row_is_locked(post: Post) -> None:
    runs = [limited.low.start(n, company="acme") for n in (1, 2)]
    post.waiting.clear()
    held = [StepRun.objects.get(run=run.pk) for run in runs]
    for row in held:
        claims.claim(row.pk, worker="w", lease=timedelta(minutes=5))
    extended: list[int] = []

    def beat() -> None:
        extended.append(claims.extend_leases(["w"], lease=settings.JOBS_LEASE))

    others = Others()
    with transaction.atomic():
        # As an atomic step does that saved undo data.
        hold("UPDATE jobs_steprun SET undo = '1' WHERE id = %s", held[0].pk)
        thread = threading.Thread(target=others._do, args=[beat])
        thread.start()
        thread.join(timeout=10)
        found = list(extended)
    thread.join()

    assert others.errors == []
    assert found == [1]


@step(name="locks-slot", concurrency=Limit(1))
def slot(ctx: Context, number: int) -> int:
    return number


@workflow(name="locks/slot")
def slots(number: int) -> int:
    return slot(number)


@pytest.mark.parametrize("how", ["heartbeat", "progress"])
def test_a_lease_that_ran_out_is_not_taken_up_again(post: Post, how: str) -> None:
    slots.start(1, company="acme")
    held, _ = claims.claim(post.waiting.pop().step_run_id, worker="w", lease=timedelta(0))
    assert held is not None

    if how == "heartbeat":
        assert not claims.extend_lease(held, lease=settings.JOBS_LEASE)
    else:
        assert not claims.save_progress(held, fraction=1, note="", lease=settings.JOBS_LEASE)
