"""Runs from their start to their end, on the database, with messages delivered by hand."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import transaction

from jobs import PermanentFailure, Retry, services
from jobs.errors import IdempotencyConflict, InvalidInput, RunFailed, UnknownWorkflow
from jobs.models import Attempt, Definition, Run, StepRun
from jobs.transitions import claims, moves
from tests.jobs import flows
from tests.jobs.conftest import WORKER, Post, pass_time

pytestmark = pytest.mark.usefixtures("behaviour")


def statuses(run: Run) -> dict[str, str]:
    return dict(StepRun.objects.filter(run=run).order_by("id").values_list("node", "status"))


def test_a_chain_passes_its_values_and_ends_with_the_typed_output(
    post: Post, calls: list[str]
) -> None:
    run = flows.chain.start(1, company="acme")

    ended = post.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("succeeded", "not_needed")
    assert run.result(timeout=1) == 3
    assert calls == ["flow-a", "flow-a#2", "flow-plain"]
    assert Attempt.objects.filter(outcome="succeeded").count() == 3


def test_a_join_runs_once_after_both_branches(post: Post, calls: list[str]) -> None:
    run = flows.diamond.start(1, company="acme")

    ended = post.run_to_the_end(run)

    assert ended.output == 2 + 1 + 2 + 2
    assert calls.count("flow-b") == 1
    assert calls[-1] == "flow-b"


def test_groups_inside_groups_and_after_groups_meet_in_the_right_places(
    post: Post, calls: list[str]
) -> None:
    run = flows.nested.start(1, company="acme")

    ended = post.run_to_the_end(run)

    assert ended.output == (2 + 2) + 2
    assert len(calls) == len(flows.nested.plan.nodes)


def test_the_first_message_goes_out_only_when_the_transaction_commits(post: Post) -> None:
    with transaction.atomic():
        flows.chain.start(1, company="acme")
        before_commit = list(post.waiting)

    assert before_commit == []
    assert len(post.waiting) == 1


def test_a_start_that_is_rolled_back_leaves_nothing(post: Post) -> None:
    def start_and_fail() -> None:
        with transaction.atomic():
            flows.chain.start(1, company="acme")
            raise LookupError

    with pytest.raises(LookupError):
        start_and_fail()

    assert not Run.objects.exists()
    assert post.waiting == []


def test_runs_of_one_structure_share_one_definition(post: Post) -> None:
    flows.chain.start(1, company="acme")
    flows.chain.start(2, company="acme")

    assert Definition.objects.count() == 1


def test_the_same_key_gives_the_same_run_and_sends_nothing_again(post: Post) -> None:
    first = flows.chain.start(1, company="acme", idempotency_key="k")
    again = flows.chain.start(1, company="acme", idempotency_key="k")

    assert again.pk == first.pk
    assert len(post.waiting) == 1


def test_the_same_key_with_another_input_is_a_conflict(post: Post) -> None:
    flows.chain.start(1, company="acme", idempotency_key="k")

    with pytest.raises(IdempotencyConflict, match="another input"):
        flows.chain.start(2, company="acme", idempotency_key="k")


def test_a_key_belongs_to_its_company(post: Post) -> None:
    first = flows.chain.start(1, company="acme", idempotency_key="k")
    other = flows.chain.start(1, company="other", idempotency_key="k")
    platform = flows.chain.start(1, company=None, idempotency_key="k")

    assert len({first.pk, other.pk, platform.pk}) == 3
    assert flows.chain.start(1, company=None, idempotency_key="k").pk == platform.pk


def test_input_that_does_not_fit_stores_nothing(post: Post) -> None:
    with pytest.raises(InvalidInput) as caught:
        flows.chain.start("x", company="acme")  # type: ignore[arg-type]

    assert caught.value.issues[0]["loc"] == ("number",)
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "options",
    [
        {"company": ""},
        {"company": "a" * 129},
        {"company": 5},
        {"company": "a\0"},
        {"company": "\ud800"},
        {"company": "acme", "env": "e" * 33},
        {"company": "acme", "env": None},
        {"company": "acme", "idempotency_key": ""},
        {"company": "acme", "idempotency_key": "k" * 201},
    ],
)
def test_options_that_cannot_be_stored_are_named(post: Post, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="must be a text of 1 to") as caught:
        flows.chain.start(1, **options)

    assert caught.value.issues[0]["loc"] == (list(options)[-1],)
    assert not Run.objects.exists()


def test_a_step_that_exits_is_a_failed_attempt(post: Post) -> None:
    def leave(_: object) -> None:
        raise SystemExit(3)

    flows.MISBEHAVIOUR["flow-plain"] = leave

    ended = post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "SystemExit")


def test_a_workflow_starts_by_its_name_with_json(post: Post) -> None:
    run = services.start_workflow("flow/chain", 4, company="acme")

    assert post.run_to_the_end(run).output == 6


def test_an_unknown_name_says_which_names_there_are(post: Post) -> None:
    with pytest.raises(UnknownWorkflow, match="flow/chain"):
        services.start_workflow("flow/chian", 4, company="acme")


def test_a_failed_attempt_waits_in_postgres_and_is_tried_again(
    post: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail
    run = flows.chain.start(1, company="acme")
    post.deliver_all()
    waiting = StepRun.objects.get(run_id=run.pk, node="flow-plain")
    flows.MISBEHAVIOUR.clear()

    assert waiting.status == "ready"
    assert waiting.attempts == 1
    assert waiting.error is not None
    assert waiting.error["message"] == "not now"
    assert services.sweep() == 0  # its time has not come
    assert post.run_to_the_end(run).status == "succeeded"
    outcomes = Attempt.objects.filter(step_run=waiting).order_by("number")
    assert list(outcomes.values_list("outcome", flat=True)) == ["failed", "succeeded"]


def test_a_message_that_comes_before_the_backoff_is_over_changes_nothing(
    post: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail
    run = flows.chain.start(1, company="acme")
    post.deliver_all()
    post.waiting.append(post.delivered[-1])

    assert post.deliver_all() == ["not due"]
    assert StepRun.objects.get(run_id=run.pk, node="flow-plain").attempts == 1


def test_a_doubled_message_changes_nothing(post: Post, calls: list[str]) -> None:
    run = flows.chain.start(1, company="acme")
    post.run_to_the_end(run)
    post.waiting.extend(post.delivered)

    assert set(post.deliver_all()) == {"not due"}
    assert len(calls) == 3


def test_used_up_attempts_fail_the_run_and_undo_it_backwards(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail
    run = flows.chain.start(1, company="acme")

    ended = post.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert ended.error is not None
    assert ended.error["node"] == "flow-plain"
    assert calls == [
        *("flow-a", "flow-a#2"),
        *["flow-plain"] * 3,
        *("flow-a#2.compensate(3)", "flow-a.compensate(2)"),
    ]
    with pytest.raises(RunFailed, match="not now"):
        run.result(timeout=1)


def test_a_permanent_failure_is_not_tried_again(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good

    post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert calls.count("flow-plain") == 1


def test_a_rollback_is_the_mirror_image_of_the_groups(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-b"] = flows.fail_for_good
    run = flows.diamond.start(1, company="acme")

    ended = post.run_to_the_end(run)

    undone = [call for call in calls if ".compensate" in call]
    assert ended.rollback == "complete"
    assert undone[-1] == "flow-a.compensate(2)"
    assert undone.index("flow-a#4.compensate(4)") < undone.index("flow-a#3.compensate(3)")
    assert len(undone) == 4


def test_rollback_waits_for_the_live_sibling_and_then_undoes_it(
    post: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["flow-a#2"] = flows.fail_for_good
    run = flows.diamond.start(1, company="acme")
    post.deliver_one()  # flow-a
    failing, sibling = post.waiting

    def fail_the_other_meanwhile(_: object) -> None:
        del flows.MISBEHAVIOUR["flow-a#3"]
        post.waiting.remove(failing)
        post.waiting.insert(0, failing)
        post.deliver_one()
        assert Run.objects.get(pk=run.pk).status == "running"

    flows.MISBEHAVIOUR["flow-a#3"] = fail_the_other_meanwhile
    post.waiting = [sibling, failing]

    ended = post.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert calls[-2:] == ["flow-a#3.compensate(3)", "flow-a.compensate(2)"]
    assert "flow-a#4" not in statuses(ended)


def test_a_sibling_in_its_backoff_is_not_waited_for(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-a#2"] = flows.fail
    run = flows.diamond.start(1, company="acme")
    post.deliver_one()
    flows.MISBEHAVIOUR["flow-a#3"] = flows.fail_for_good

    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "failed"
    assert statuses(Run.objects.get(pk=run.pk))["flow-a#2"] == "stopped"


def test_done_and_permanent_failure_give_the_compensation_other_data(
    post: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    post.run_to_the_end(flows.undoing.start(1, company="acme"))

    assert "flow-done.compensate({'was': 2})" in calls


def test_a_failed_step_is_undone_only_if_it_left_undo_data(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-a#2"] = flows.fail_with_undo
    post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert calls[-2:] == ["flow-a#2.compensate(77)", "flow-a.compensate(2)"]

    calls.clear()
    flows.MISBEHAVIOUR["flow-a#2"] = flows.fail_for_good
    post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert calls[-1:] == ["flow-a.compensate(2)"]
    assert not [call for call in calls if call.startswith("flow-a#2.compensate")]


def test_undo_data_that_does_not_fit_the_compensation_fails_the_step_at_once(post: Post) -> None:
    def fail_wrongly(_: object) -> None:
        raise PermanentFailure("no", undo="not a number")

    flows.MISBEHAVIOUR["flow-a#2"] = fail_wrongly
    run = flows.chain.start(1, company="acme")

    post.deliver_all()  # no lease is waited for

    ended = Run.objects.get(pk=run.pk)
    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "InvalidOutput")


def test_a_retry_after_what_is_no_time_is_a_failed_attempt(post: Post) -> None:
    def ask_wrongly(_: object) -> None:
        raise Retry(after="soon")  # type: ignore[arg-type]

    flows.MISBEHAVIOUR["flow-plain"] = ask_wrongly

    ended = post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "TypeError")


def test_a_skipped_step_is_none_and_never_undone(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good

    ended = post.run_to_the_end(flows.skipping.start(1, company="acme"))

    assert statuses(ended)["flow-skip"] == "skipped"
    assert (ended.status, ended.rollback) == ("failed", "not_needed")
    assert calls == ["flow-skip", "flow-plain"]


def test_a_compensation_that_fails_is_recorded_and_the_others_go_on(
    post: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    flows.MISBEHAVIOUR["flow-a#2.compensate"] = flows.fail

    ended = post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert (ended.status, ended.rollback) == ("failed", "incomplete")
    assert calls.count("flow-a#2.compensate(3)") == 3
    assert calls[-1] == "flow-a.compensate(2)"


def test_a_worker_that_lost_its_lease_cannot_write_its_outcome(
    post: Post, calls: list[str]
) -> None:
    run = flows.chain.start(1, company="acme")

    def be_overtaken(_: object) -> None:
        del flows.MISBEHAVIOUR["flow-a"]
        pass_time()
        services.sweep()
        post.deliver_one()

    flows.MISBEHAVIOUR["flow-a"] = be_overtaken

    assert post.deliver_one() == "lease lost"
    assert post.run_to_the_end(run).output == 3
    first = StepRun.objects.get(run_id=run.pk, node="flow-a")
    outcomes = Attempt.objects.filter(step_run=first).order_by("number")
    assert list(outcomes.values_list("outcome", flat=True)) == ["lost", "succeeded"]


def test_a_worker_that_lost_its_lease_cannot_write_while_the_other_still_runs(post: Post) -> None:
    run = flows.chain.start(1, company="acme")

    def be_overtaken(_: object) -> None:
        del flows.MISBEHAVIOUR["flow-a"]
        pass_time()
        step_run = StepRun.objects.get(run_id=run.pk)
        assert claims.claim(step_run.pk, worker="worker-2", lease=settings.JOBS_LEASE)[0]

    flows.MISBEHAVIOUR["flow-a"] = be_overtaken

    assert post.deliver_one() == "lease lost"
    held = StepRun.objects.get(run_id=run.pk)
    assert (held.status, held.worker, held.attempts) == ("running", "worker-2", 2)


def test_saved_undo_data_survives_the_step_s_failure_and_its_worker(
    post: Post, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["flow-saving"] = flows.fail_for_good
    post.run_to_the_end(flows.saving_flow.start(5, company="acme"))

    assert calls == ["flow-saving", "flow-saving.compensate({'saved': 5})"]


def test_saved_undo_data_goes_before_the_output(post: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    post.run_to_the_end(flows.saving_flow.start(5, company="acme"))

    assert calls[-1] == "flow-saving.compensate({'saved': 5})"


def test_a_worker_that_lost_its_lease_can_neither_save_undo_data_nor_ask_for_a_retry(
    post: Post,
) -> None:
    run = flows.saving_flow.start(5, company="acme")
    row = StepRun.objects.get(run_id=run.pk)
    held, _ = claims.claim(row.pk, worker="worker-1", lease=settings.JOBS_LEASE)
    assert held is not None
    pass_time()
    assert claims.claim(row.pk, worker="worker-2", lease=settings.JOBS_LEASE)[0]

    assert not claims.save_undo(held, '{"saved": 1}')
    assert not moves.postpone(held, outcome="failed", error="{}", delay=timedelta(0))
    row.refresh_from_db()
    assert (row.status, row.worker, row.undo) == ("running", "worker-2", None)


def test_a_step_whose_workers_all_died_fails_as_worker_lost(post: Post) -> None:
    run = flows.chain.start(1, company="acme")
    step_run = StepRun.objects.get(run_id=run.pk)
    for _ in range(3):
        # The claim of a worker that dies at once.
        assert claims.claim(step_run.pk, worker=WORKER, lease=settings.JOBS_LEASE)[0]
        pass_time()

    ended = post.run_to_the_end(run)

    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "WorkerLost")


def test_a_lost_message_is_sent_again_by_the_sweep(post: Post) -> None:
    run = flows.chain.start(1, company="acme")
    post.waiting.clear()

    assert post.run_to_the_end(run).status == "succeeded"


def test_cancelling_a_running_run_undoes_what_it_completed(post: Post, calls: list[str]) -> None:
    run = flows.chain.start(1, company="acme")
    post.deliver_one()

    assert services.cancel(UUID(str(run.pk)), reason="ordered twice")
    ended = post.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("cancelled", "complete")
    assert calls == ["flow-a", "flow-a.compensate(2)"]
    assert not services.cancel(ended.pk, reason="again")


def test_an_output_that_does_not_fit_its_annotation_fails_the_run(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows.plain, "fn", lambda ctx, number: "not a number")

    ended = post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "InvalidOutput")


def test_an_error_text_that_postgres_refuses_is_stored_escaped(post: Post) -> None:
    def say(_: object) -> None:
        raise RuntimeError("nul \0 and surrogate \ud800")

    flows.MISBEHAVIOUR["flow-plain"] = say

    ended = post.run_to_the_end(flows.chain.start(1, company="acme"))

    assert ended.error is not None
    assert "\\x00" in ended.error["message"]
