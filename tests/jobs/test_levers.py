"""Cancel, retry, fork, resume and resolve; points of no return; what a run tells at its end."""

import threading
from datetime import timedelta

import pytest
import time_machine
from django.db import connection, transaction

from jobs import services
from jobs.errors import RunRefused, UnknownRun
from jobs.ids import uuid7
from jobs.models import Action, Attempt, Definition, Run, StepRun
from jobs.transitions.rows import clock
from tests.jobs import flows, limited, vocabulary
from tests.jobs.conftest import Post, pass_time
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("behaviour")


def undone(calls: list[str]) -> list[str]:
    return [call for call in calls if "(" in call]


def test_a_succeeded_run_is_undone_by_its_cancellation(ways: Post, calls: list[str]) -> None:
    run = limited.sides.start(1, company="acme")
    ways.run_to_the_end(run)

    assert services.cancel(run.pk, reason="wrong customer", by="ann")
    assert not services.cancel(run.pk, reason="again", by="bob")
    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("cancelled", "complete")
    names = [call.partition(".")[0] for call in undone(calls)]
    assert names[0] == "lim-e"
    assert names[-1] == "lim-a"
    assert sorted(names[1:-1]) == ["lim-b", "lim-c", "lim-d"]
    assert names.index("lim-d") < names.index("lim-c")
    action = Action.objects.get(run=run.pk)
    assert (action.name, action.by, action.reason) == ("cancel", "ann", "wrong customer")


@pytest.mark.parametrize("begun", [0, 1])
def test_a_queued_or_running_run_is_cancelled(post: Post, calls: list[str], begun: int) -> None:
    run = limited.sides.start(1, company="acme")
    for _ in range(begun):
        post.deliver_one()

    assert services.cancel(run.pk, reason="no", by="ann")
    ended = post.run_to_the_end(run)

    assert ended.status == "cancelled"
    assert ended.rollback == ("complete" if begun else "not_needed")
    assert len(undone(calls)) == begun


@pytest.mark.parametrize("flow", ["sleeping", "waiting"])
def test_a_sleeping_or_waiting_run_is_cancelled_at_once(
    ways: Post, calls: list[str], flow: str
) -> None:
    run = getattr(vocabulary, flow).start({"sleeping": 1, "waiting": "o"}[flow], company="acme")
    ways.deliver_all()
    assert Run.objects.get(pk=run.pk).status == "waiting"

    assert services.cancel(run.pk, reason="no", by="ann")
    ways.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert (ended.status, ended.rollback) == ("cancelled", "complete")
    assert undone(calls) == ["word-plain.compensate(1)"]


def test_a_retry_runs_what_failed_and_what_was_undone(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["lim-e"] = flows.fail_for_good
    run = limited.sides.start(1, company="acme")
    ways.run_to_the_end(run)
    keys: list[str] = []
    flows.MISBEHAVIOUR.clear()
    flows.MISBEHAVIOUR["lim-a"] = lambda ctx: keys.append(ctx.idempotency_key)
    calls.clear()

    services.retry(run.pk, reason="mended", by="ann")
    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output, ended.generation) == ("succeeded", 1, 2)
    assert sorted(calls) == ["lim-a", "lim-b", "lim-c", "lim-d", "lim-e"]
    assert keys == [f"{run.pk}/lim-a/2"]


def test_a_retry_keeps_outputs_that_were_not_undone(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    run = limited.kept.start("text", company="acme")
    ways.run_to_the_end(run)
    flows.MISBEHAVIOUR.clear()
    calls.clear()

    services.retry(run.pk, reason="mended", by="ann")
    ended = ways.run_to_the_end(run)

    assert ended.status == "succeeded"
    assert calls == ["flow-plain"]


@pytest.mark.parametrize("lever", ["retry", "fork"])
def test_what_is_kept_behind_what_was_undone_is_passed_by(
    ways: Post, calls: list[str], lever: str
) -> None:
    flows.MISBEHAVIOUR["lim-end"] = flows.fail_for_good
    run = limited.kept_between.start(1, company="acme")
    assert ways.run_to_the_end(run).rollback == "complete"
    flows.MISBEHAVIOUR.clear()
    calls.clear()

    if lever == "retry":
        again = services.retry(run.pk, reason="mended", by="ann")
    else:
        again = services.fork(run.pk, from_step="lim-end", reason="mended", by="ann")
    ended = ways.run_to_the_end(again)

    assert (ended.status, ended.output) == ("succeeded", 5)
    assert calls == ["flow-a", "lim-again-left", "lim-end"]


def test_a_retry_of_a_list_runs_the_items_that_are_left(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["word-total"] = flows.fail_for_good
    run = vocabulary.squares.start(5, 0, company="acme")
    assert ways.run_to_the_end(run).rollback == "complete"
    flows.MISBEHAVIOUR.clear()
    calls.clear()

    services.retry(run.pk, reason="mended", by="ann")
    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", 30)
    assert sorted(calls) == sorted([*[f"word-square[{n}]" for n in range(5)], "word-total"])


def test_a_fork_begins_at_its_step_and_its_source_keeps_what_came_before(
    ways: Post, calls: list[str]
) -> None:
    run = limited.sides.start(1, company="acme")
    ways.run_to_the_end(run)
    calls.clear()
    flows.MISBEHAVIOUR["lim-e"] = flows.fail_for_good

    made = services.fork(run.pk, from_step="lim-c", reason="again", by="ann")
    ended = ways.run_to_the_end(made)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert calls == ["lim-c", "lim-d", "lim-e", "lim-d.compensate(1)", "lim-c.compensate(1)"]
    assert ended.forked_from_id == run.pk


def test_an_incomplete_rollback_is_resumed_where_it_failed(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["lim-e"] = flows.fail_for_good
    flows.MISBEHAVIOUR["lim-c.compensate"] = flows.fail_for_good
    flows.MISBEHAVIOUR["lim-a.compensate"] = flows.fail_for_good
    run = limited.sides.start(1, company="acme")
    assert ways.run_to_the_end(run).rollback == "incomplete"
    for refused in (services.retry, lambda pk, **why: services.fork(pk, from_step="lim-a", **why)):
        with pytest.raises(RunRefused, match="incomplete"):
            refused(run.pk, reason="x", by="ann")
    flows.MISBEHAVIOUR.clear()
    calls.clear()

    services.resume_rollback(run.pk, reason="mended", by="ann")
    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert calls == ["lim-c.compensate(1)", "lim-a.compensate(1)"]


def test_a_failed_compensation_is_resolved_by_hand(ways: Post) -> None:
    flows.MISBEHAVIOUR["lim-e"] = flows.fail_for_good
    flows.MISBEHAVIOUR["lim-c.compensate"] = flows.fail_for_good
    run = limited.sides.start(1, company="acme")
    assert ways.run_to_the_end(run).rollback == "incomplete"

    with pytest.raises(RunRefused, match=r"lim-c\.compensate"):
        services.resolve(run.pk, step="lim-a", reason="did it", by="ann")
    ended = services.resolve(run.pk, step="lim-c", reason="did it", by="ann")

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert StepRun.objects.get(run=run.pk, node="lim-c.compensate").status == "resolved"


def test_levers_refuse_what_the_run_s_state_does_not_allow(ways: Post) -> None:
    run = limited.sides.start(1, company="acme")
    ways.run_to_the_end(run)

    with pytest.raises(RunRefused, match="succeeded"):
        services.retry(run.pk, reason="x", by="ann")
    with pytest.raises(RunRefused, match="not_needed"):
        services.resume_rollback(run.pk, reason="x", by="ann")
    with pytest.raises(RunRefused, match="lim-a, lim-b"):
        services.fork(run.pk, from_step="nothing", reason="x", by="ann")
    with pytest.raises(UnknownRun):
        services.cancel(uuid7(), reason="x", by="ann")


def test_past_the_pivot_steps_are_tried_forward_until_the_time_is_over(
    ways: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["lim-forward"] = flows.fail_for_good
    run = limited.pivoting.start(1, company="acme")
    ways.deliver_all()
    for _ in range(4):
        pass_time(timedelta(minutes=11))
        services.sweep()
        ways.deliver_all()

    found = Run.objects.get(pk=run.pk)
    assert found.status == "running"
    assert calls.count("lim-forward") == 5
    with pytest.raises(RunRefused, match="no return"):
        services.cancel(run.pk, reason="x", by="ann")
    Run.objects.filter(pk=run.pk).update(deadline_at="2020-01-01T00:00Z")
    services.sweep()
    ended = ways.run_to_the_end(run)
    assert (ended.status, ended.rollback) == ("failed", "incomplete")
    assert undone(calls) == []
    flows.MISBEHAVIOUR.clear()
    services.retry(run.pk, reason="mended", by="ann")
    assert ways.run_to_the_end(run).status == "succeeded"


def test_a_run_out_of_time_is_rolled_back(ways: Post, calls: list[str]) -> None:
    run = vocabulary.waiting.start("o", company="acme")
    ways.deliver_all()
    Run.objects.filter(pk=run.pk).update(deadline_at="2020-01-01T00:00Z")

    services.sweep()
    ways.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert ended.error is not None
    assert ended.error["type"] == "RunTimeout"


def test_the_step_that_hears_of_failures_is_given_the_error(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["lim-failing"] = flows.fail_for_good
    run = limited.telling.start(7, company="acme")
    ended = ways.run_to_the_end(run)
    ways.deliver_all()

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert calls[-1].endswith("PermanentFailure 7")
    assert StepRun.objects.get(run=run.pk, phase="on_failure").status == "succeeded"


def test_an_atomic_step_leaves_nothing_of_a_failed_attempt(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["lim-atomic"] = lambda ctx: flows.fail(ctx) if ctx.attempt == 1 else None
    run = limited.atomically.start("text", company="acme")

    assert ways.run_to_the_end(run).status == "succeeded"

    hashes = Definition.objects.filter(workflow="atomic").values_list("hash", flat=True)
    assert list(hashes) == ["text-2"]
    assert list(
        Attempt.objects.filter(step_run__node="lim-atomic").values_list("outcome", flat=True)
    ) == ["failed", "succeeded"]
    assert StepRun.objects.get(run=run.pk, node="lim-atomic").undo == "undo-2"


def test_a_named_sub_step_runs_once_over_all_attempts(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["lim-memo"] = lambda ctx: flows.fail(ctx) if ctx.attempt < 3 else None
    run = limited.remembering.start(5, company="acme")

    assert ways.run_to_the_end(run).output == 15

    assert calls.count("fetched") == 1


def test_a_run_whose_code_is_gone_waits_for_it(
    ways: Post, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    from jobs.registry import registry

    run = limited.pivoting.start(1, company="acme")
    step = registry.steps["lim-pivot"]
    monkeypatch.delitem(registry.steps, "lim-pivot")
    ways.deliver_all()

    found = Run.objects.get(pk=run.pk)
    assert (found.status, found.waiting_for) == ("waiting", "code")
    assert StepRun.objects.get(run=run.pk, node="lim-pivot").attempts == 0
    monkeypatch.setitem(registry.steps, "lim-pivot", step)
    assert ways.run_to_the_end(run).status == "succeeded"


def test_finished_runs_are_pruned_when_their_time_is_over_and_live_ones_never(
    ways: Post,
) -> None:
    done = limited.sides.start(1, company="acme")
    ways.run_to_the_end(done)
    kept = limited.sides.start(2, company="acme")
    ways.run_to_the_end(kept)
    live = vocabulary.sleeping.start(1, company="acme")
    ways.deliver_all()
    Run.objects.exclude(pk=kept.pk).update(expires_at="2020-01-01T00:00Z")

    assert services.prune(limit=10) == 1

    assert set(Run.objects.values_list("pk", flat=True)) == {kept.pk, live.pk}
    assert not StepRun.objects.filter(run=done.pk).exists()


def test_a_retry_of_a_limited_run_waits_for_its_place(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["lim-second"] = flows.fail_for_good
    run = limited.limited_runs.start(1, company="acme")
    post.run_to_the_end(run)
    flows.MISBEHAVIOUR.clear()
    limited.limited_runs.start(3, company="acme")
    post.deliver_one()  # the admission of the other
    calls.clear()

    services.retry(run.pk, reason="mended", by="ann")
    admission = post.waiting.pop()
    post.waiting.insert(0, admission)
    post.deliver_one()

    assert Run.objects.get(pk=run.pk).waiting_for == "limit"
    assert post.run_to_the_end(run).status == "succeeded"


def test_a_singleton_is_not_retried_beside_another(post: Post) -> None:
    flows.MISBEHAVIOUR["word-plain"] = flows.fail_for_good
    run = limited.single.start("a", company="acme")
    post.run_to_the_end(run)
    flows.MISBEHAVIOUR.clear()
    limited.single.start("a", company="acme")

    with pytest.raises(RunRefused, match="singleton"):
        services.retry(run.pk, reason="mended", by="ann")


def test_a_succeeded_singleton_is_cancelled_beside_another(post: Post, calls: list[str]) -> None:
    run = limited.single.start("a", company="acme")
    post.run_to_the_end(run)
    limited.single.start("a", company="acme")

    assert services.cancel(run.pk, reason="wrong", by="ann")
    assert post.run_to_the_end(run).rollback == "complete"


def test_a_transaction_that_a_step_leaves_open_is_a_failed_attempt(post: Post) -> None:
    run = limited.leaving_open.start("text", company="acme")

    ended = post.run_to_the_end(run)

    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["type"] == "TransactionLeftOpen"
    assert not Definition.objects.filter(workflow="open").exists()


def test_a_run_whose_end_fails_holds_up_no_other(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.services import turning

    broken = limited.ending_apart.start(1, company="acme")
    original = turning._end_forward

    def end(run: Run) -> bool:
        if run.pk == broken.pk:
            raise RuntimeError("no end")
        return original(run)

    monkeypatch.setattr(turning, "_end_forward", end)
    post.deliver_all()
    other = limited.ending_apart.start(2, company="acme")
    assert post.run_to_the_end(other).status == "succeeded"
    Run.objects.filter(pk=broken.pk).update(turn_at="2020-01-01T00:00Z")
    services.sweep()
    assert Run.objects.get(pk=broken.pk).status == "running"

    monkeypatch.undo()
    Run.objects.filter(pk=broken.pk).update(turn_at="2020-01-01T00:00Z")
    services.sweep()
    assert Run.objects.get(pk=broken.pk).status == "succeeded"


def test_a_cancel_waits_for_the_step_that_passes_the_point_of_no_return(post: Post) -> None:
    run = limited.pivoting.start(1, company="acme")
    refused: list[RunRefused] = []

    def cancel() -> None:
        try:
            services.cancel(run.pk, reason="no", by="ann")
        except RunRefused as error:
            refused.append(error)
        finally:
            connection.close()

    canceller = threading.Thread(target=cancel)
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(pivoted=True)
        canceller.start()
        wait_until(someone_waits_for_a_lock, what="the cancel waits for the run's row")
    canceller.join()

    assert len(refused) == 1
    assert Run.objects.get(pk=run.pk).stop is None


def someone_waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        (found,) = cursor.fetchone()
    return bool(found)


def test_a_retry_and_a_fork_have_their_time_from_the_database_s_clock(post: Post) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    run = flows.chain.start(1, company="acme")
    post.run_to_the_end(run)

    with time_machine.travel("2001-01-01", tick=False):
        services.retry(run.pk, reason="mended", by="ann")
        fork = services.fork(run.pk, from_step="flow-plain", reason="once more", by="ann")

    for found in Run.objects.filter(pk__in=[run.pk, fork.pk]):
        assert found.deadline_at is not None
        assert found.deadline_at > found.created_at > clock() - timedelta(hours=1)
