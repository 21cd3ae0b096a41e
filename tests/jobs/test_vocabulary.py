"""Lists, conditions, functions, waits and child runs, with messages delivered by hand."""

from datetime import timedelta
from typing import Any

import pytest

from jobs import services
from jobs.models import Run, StepRun
from jobs.transitions.rows import clock
from tests.jobs import flows, limited, vocabulary
from tests.jobs.conftest import Post, pass_time

pytestmark = pytest.mark.usefixtures("behaviour")


@pytest.mark.parametrize("count", [0, 1, 7])
def test_each_runs_every_item_and_keeps_their_order(
    ways: Post, calls: list[str], count: int
) -> None:
    run = vocabulary.squares.start(count, 5, company="acme")

    ended = ways.run_to_the_end(run)

    assert ended.status == "succeeded"
    assert ended.output == sum(number * number + 5 for number in range(count))
    made = [f"word-square[{number}]" for number in range(count)]
    assert sorted(call for call in calls if call.startswith("word-square")) == sorted(made)


def test_each_has_no_more_messages_and_live_items_than_it_may(post: Post) -> None:
    vocabulary.squares.start(9, 0, company="acme")
    post.deliver_one()
    post.deliver_one()  # the each itself

    seen = []
    while any(wake_up.task == "word-square" for wake_up in post.waiting):
        seen.append(len(post.waiting))
        post.deliver_one()

    assert max(seen) == 2


def test_an_item_that_fails_undoes_the_items_that_ran(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["word-square[3]"] = flows.fail_for_good
    run = vocabulary.squares.start(9, 0, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    ran = {call for call in calls if call.startswith("word-square") and "(" not in call}
    undone = [call for call in calls if "compensate" in call]
    assert {call.partition(".")[0] for call in undone} == ran - {"word-square[3]"}
    assert len(undone) == len(set(undone))
    assert "word-total" not in calls


def test_items_that_fail_or_skip_and_go_on_give_none(ways: Post) -> None:
    run = vocabulary.some.start(7, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", 0 + 2 + 6)
    each = StepRun.objects.get(run=run.pk, kind="each")
    assert each.output == [0, None, 2, None, None, None, 6]


@pytest.mark.parametrize(("number", "expected"), [(5, None), (50, 50)])
def test_what_a_condition_guards_runs_only_if_it_holds(
    ways: Post, calls: list[str], number: int, expected: int | None
) -> None:
    run = vocabulary.conditional.start(number, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", expected)
    assert ("word-bigger" in calls) == (number > 10)


def test_functions_of_earlier_values_are_recorded(ways: Post) -> None:
    run = vocabulary.transformed.start(4, company="acme")

    ended = ways.run_to_the_end(run)

    assert ended.output == 16


def test_a_year_s_sleep_holds_no_lease_and_no_message(post: Post) -> None:
    run = vocabulary.sleeping.start(4, company="acme")
    post.deliver_all()

    found = Run.objects.get(pk=run.pk)
    step = StepRun.objects.get(run=run.pk, kind="sleep")
    assert (found.status, found.waiting_for) == ("waiting", "time")
    assert (step.status, step.lease_until, post.waiting) == ("waiting", None, [])
    assert step.due_at - step.created_at >= timedelta(days=365)
    assert found.deadline_at is not None
    assert found.deadline_at > step.due_at
    services.sweep()
    assert post.waiting == []

    pass_time(timedelta(days=366))
    services.sweep()
    services.sweep()
    twice = [*post.waiting, *post.waiting]
    post.waiting = twice
    post.deliver_all()

    found.refresh_from_db()
    assert (found.status, found.output) == ("succeeded", 4)


def offer(event_type: str, company: str, payload: dict[str, Any]) -> int:
    return services.offer_events([(event_type, company, payload, clock())])


def test_an_event_ends_a_wait_once_and_its_payload_is_the_value(ways: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    other = vocabulary.waiting.start("o-2", company="globex")
    ways.deliver_all()
    assert Run.objects.get(pk=run.pk).waiting_for == "event"

    settled = {"order": "o-1", "amount": 5}
    offer("payment.settled", "globex", settled)
    offer("payment.other", "acme", settled)
    offer("payment.settled", "acme", {"order": "o-2"})
    assert ways.waiting == []
    assert offer("payment.settled", "acme", settled) == 1
    assert offer("payment.settled", "acme", {**settled, "amount": 6}) == 0
    ways.deliver_all()

    assert Run.objects.get(pk=run.pk).output == settled
    assert Run.objects.get(pk=other.pk).status == "waiting"


def test_an_event_older_than_the_run_does_not_end_its_wait(ways: Post) -> None:
    before = clock()
    run = vocabulary.waiting.start("o-1", company="acme")
    ways.deliver_all()

    assert services.offer_events([("payment.settled", "acme", {"order": "o-1"}, before)]) == 0
    assert Run.objects.get(pk=run.pk).status == "waiting"


def test_a_wait_whose_time_is_over_gives_none(ways: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    ways.deliver_all()
    pass_time(timedelta(days=4))
    services.sweep()
    ways.deliver_all()

    found = Run.objects.get(pk=run.pk)
    assert (found.status, found.output) == ("succeeded", None)
    assert offer("payment.settled", "acme", {"order": "o-1"}) == 0


def test_an_event_sent_to_a_run_before_its_wait_counts(ways: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    services.send_event(run.pk, "payment.settled", {"order": "other"})
    services.send_event(run.pk, "payment.settled", {"order": "o-1", "n": 1})
    services.send_event(run.pk, "payment.settled", {"order": "o-1", "n": 2})
    ways.deliver_all()

    assert Run.objects.get(pk=run.pk).output == {"order": "o-1", "n": 1}


def test_a_child_run_gives_its_output_and_takes_its_part(ways: Post) -> None:
    run = vocabulary.parent.start(3, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", 3)
    inner = Run.objects.get(workflow="word/child")
    assert (inner.status, inner.company) == ("succeeded", "acme")


def test_a_parent_s_rollback_undoes_its_child_once(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["word-outer"] = flows.fail_for_good
    run = vocabulary.parent.start(3, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    inner = Run.objects.get(workflow="word/child")
    assert (inner.status, inner.rollback) == ("cancelled", "complete")
    assert [call for call in calls if "(" in call] == [
        "word-inner.compensate(3)",
        "word-inner-first.compensate(3)",
        "word-plain.compensate(3)",
    ]


def test_a_child_that_fails_fails_its_step(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["word-inner"] = flows.fail_for_good
    run = vocabulary.parent.start(3, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert ended.error is not None
    assert ended.error["type"] == "ChildRunFailed"
    assert [call for call in calls if "(" in call] == [
        "word-inner-first.compensate(3)",
        "word-plain.compensate(3)",
    ]


@pytest.mark.parametrize("flow", ["parent", "children"])
@pytest.mark.parametrize("failing", ["in the child", "behind it"])
def test_what_a_child_could_not_undo_is_resumed_with_its_parent(
    ways: Post, calls: list[str], flow: str, failing: str
) -> None:
    behind = {"parent": "word-outer", "children": "word-total-some"}[flow]
    node = "word-inner" if failing == "in the child" else behind
    flows.MISBEHAVIOUR[node] = flows.fail_for_good
    flows.MISBEHAVIOUR["word-inner-first.compensate"] = flows.fail_for_good

    run = getattr(vocabulary, flow).start(1, company="acme")
    assert ways.run_to_the_end(run).rollback == "incomplete"
    calls.clear()
    flows.MISBEHAVIOUR.clear()
    services.resume_rollback(run.pk, reason="mended", by="ann")
    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert Run.objects.get(workflow="word/child").rollback == "complete"
    assert [call.partition("(")[0] for call in calls] == ["word-inner-first.compensate"]


def test_a_child_past_its_point_of_no_return_leaves_its_parent_incomplete(ways: Post) -> None:
    flows.MISBEHAVIOUR["lim-over"] = flows.fail_for_good

    ended = ways.run_to_the_end(limited.over_pivot.start(1, company="acme"))

    assert (ended.status, ended.rollback) == ("failed", "incomplete")
    failed = StepRun.objects.get(run=ended, node="lim/pivot.compensate")
    assert failed.error is not None
    assert "point of no return" in failed.error["message"]


def test_a_cancelled_parent_cancels_its_live_child(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["word-inner"] = lambda ctx: services.cancel(run.pk, reason="enough")
    run = vocabulary.parent.start(3, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("cancelled", "complete")
    assert Run.objects.get(workflow="word/child").status == "cancelled"
    assert "word-outer" not in calls
    assert len([call for call in calls if "(" in call]) == 3


def test_each_may_run_a_workflow_for_each_item(ways: Post) -> None:
    run = vocabulary.children.start(5, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", 10)
    assert Run.objects.filter(workflow="word/child", status="succeeded").count() == 5


def test_a_step_that_may_fail_gives_none_and_the_run_goes_on(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["word-optional"] = flows.fail
    run = vocabulary.continuing.start(3, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", None)
    assert StepRun.objects.get(run=run.pk, node="word-optional").status == "failed"
    assert calls[-1] == "word-last"


def test_a_step_may_end_the_run_well_with_the_rest_skipped(ways: Post, calls: list[str]) -> None:
    flows.MISBEHAVIOUR["word-ending"] = flows.fail
    run = vocabulary.skipping_rest.start(3, company="acme")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback, ended.output) == ("succeeded", "not_needed", None)
    assert sorted(calls) == ["word-ending", "word-right", "word-right-after"]


def test_a_run_waits_when_only_a_sleep_is_left_of_it(ways: Post) -> None:
    run = vocabulary.sleeping_beside.start(1, company="acme")
    ways.deliver_all()

    found = Run.objects.get(pk=run.pk)
    assert (found.status, found.waiting_for) == ("waiting", "time")
    assert ways.run_to_the_end(run).output == 1
