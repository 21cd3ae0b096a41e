"""Two workers at once: the row decides, whatever the order of commits."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from jobs import execution
from jobs.models import Attempt, Run, StepRun
from tests.jobs import flows
from tests.jobs.conftest import Post

ROUNDS = 25


def at_once(*calls: Callable[[], object]) -> None:
    """Call each in a thread of its own, with a connection of its own, all released together."""
    gate = threading.Barrier(len(calls))
    errors: list[BaseException] = []

    def go(call: Callable[[], object]) -> None:
        try:
            gate.wait()
            call()
        except execution.StepFailed:
            pass  # a recorded outcome
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=go, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def perform(step_run_id: int) -> Callable[[], str]:
    return lambda: execution.perform(step_run_id, worker=f"racer-{step_run_id}")


def race_siblings(post: Post) -> Run:
    """Start a pair of branches and let two workers perform both at once."""
    run = flows.pair.start(1, company="acme")
    post.deliver_one()
    left, right = (wake_up.step_run_id for wake_up in post.waiting)
    post.waiting.clear()
    at_once(perform(left), perform(right))
    return Run.objects.get(pk=run.pk)


pytestmark = pytest.mark.usefixtures("behaviour")


def test_siblings_that_end_at_once_start_their_join_once(post: Post) -> None:
    for _ in range(ROUNDS):
        run = race_siblings(post)

        assert [wake_up.task for wake_up in post.waiting] == ["flow-b"]
        assert post.run_to_the_end(run).status == "succeeded"


def test_siblings_that_fail_at_once_start_one_rollback(post: Post) -> None:
    flows.MISBEHAVIOUR["flow-a#2"] = flows.fail_for_good
    flows.MISBEHAVIOUR["flow-a#3"] = flows.fail_for_good
    for _ in range(ROUNDS):
        run = race_siblings(post)

        ended = post.run_to_the_end(run)
        assert (ended.status, ended.rollback) == ("failed", "complete")


def test_one_sibling_that_fails_while_the_other_ends_never_starts_the_join(post: Post) -> None:
    flows.MISBEHAVIOUR["flow-a#2"] = flows.fail_for_good
    for _ in range(ROUNDS):
        run = race_siblings(post)

        ended = post.run_to_the_end(run)
        assert (ended.status, ended.rollback) == ("failed", "complete")
        assert not StepRun.objects.filter(run=ended, node="flow-b").exists()
        sibling = StepRun.objects.get(run=ended, node="flow-a#3").status
        undone = StepRun.objects.filter(run=ended, node="flow-a#3.compensate", status="succeeded")
        assert (sibling, undone.count()) in {("succeeded", 1), ("stopped", 0)}


def test_one_message_taken_twice_at_once_runs_the_step_once(post: Post, calls: list[str]) -> None:
    for _ in range(ROUNDS):
        calls.clear()
        flows.pair.start(1, company="acme")
        step_run_id = post.waiting.pop().step_run_id

        at_once(perform(step_run_id), perform(step_run_id))

        assert calls == ["flow-a"]
        assert Attempt.objects.filter(step_run_id=step_run_id).count() == 1
        post.waiting.clear()


def test_the_same_key_at_once_starts_one_run(post: Post) -> None:
    started: list[object] = []

    def start() -> None:
        started.append(flows.chain.start(1, company="acme", idempotency_key="k").pk)

    at_once(*[start] * 4)

    assert len(set(started)) == 1
    assert Run.objects.count() == 1
