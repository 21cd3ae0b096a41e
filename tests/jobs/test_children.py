"""Child runs of workflows that have keys and limits of their own."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs import Debounce, services, sleep_until, workflow
from jobs.models import Attempt, Run, StepRun
from jobs.registry import registry
from tests.jobs import flows, limited
from tests.jobs.conftest import Post, pass_time
from tests.jobs.vocabulary import plain

pytestmark = pytest.mark.usefixtures("behaviour")


@workflow(name="children/keyed", idempotency=lambda number: f"order-{number}")
def keyed(number: int) -> int | None:
    return plain(number)


@workflow(name="children/parent-of-keyed")
def parent_of_keyed(number: int) -> int | None:
    return plain.options(name="children-last")(keyed(number))


@workflow(name="children/quiet", debounce=Debounce(timedelta(minutes=5)))
def quiet(number: int) -> int | None:
    return plain(number)


@workflow(name="children/parent-of-quiet")
def parent_of_quiet(number: int) -> int | None:
    return quiet(number)


def no_key(number: int) -> str:
    raise RuntimeError("no key")


@workflow(name="children/no-key", singleton=no_key)
def without_key(number: int) -> int | None:
    return plain(number)


@workflow(name="children/parent-without-key")
def parent_without_key(number: int) -> int | None:
    return without_key(number)


@workflow(name="children/parent-of-single")
def parent_of_single(name: str) -> int | None:
    return limited.single(name)


def test_a_child_is_its_parent_s_own_though_its_key_was_used_before(post: Post) -> None:
    before = keyed.start(1, company="acme")
    post.run_to_the_end(before)

    run = parent_of_keyed.start(1, company="acme")
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "succeeded"
    assert Run.objects.filter(workflow="children/keyed").count() == 2


def test_a_parent_that_is_retried_starts_its_child_anew(post: Post) -> None:
    flows.MISBEHAVIOUR["children-last"] = flows.fail_for_good
    run = parent_of_keyed.start(1, company="acme")
    assert post.run_to_the_end(run).rollback == "complete"
    flows.MISBEHAVIOUR.clear()

    services.retry(run.pk, reason="mended", by="ann")
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "succeeded"


def test_a_child_of_a_debounced_workflow_starts_at_once_with_its_parent_s_input(
    post: Post,
) -> None:
    quiet.start(1, company="acme")
    post.waiting.clear()

    run = parent_of_quiet.start(2, company="acme")
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "succeeded"
    assert Run.objects.get(pk=run.pk).output == 2


def test_a_child_whose_key_function_fails_fails_its_step_at_once(post: Post) -> None:
    run = parent_without_key.start(1, company="acme")
    post.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "InvalidInput")
    assert "no key" in ended.error["message"]


def test_a_parent_that_stops_while_its_child_waits_for_its_key_starts_none(post: Post) -> None:
    other = limited.single.start("a", company="acme")
    run = parent_of_single.start("a", company="acme")
    post.waiting = [one for one in post.waiting if one.run_id == run.pk]
    post.deliver_all()
    assert Run.objects.get(pk=run.pk).status == "waiting"

    services.cancel(run.pk, reason="no", by="ann")
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "cancelled"
    assert list(Run.objects.filter(workflow="lim/singleton")) == [Run.objects.get(pk=other.pk)]


def test_a_child_waits_until_its_key_is_free(post: Post) -> None:
    other = limited.single.start("a", company="acme")
    run = parent_of_single.start("a", company="acme")
    held_back = [one for one in post.waiting if one.run_id == other.pk]
    post.waiting = [one for one in post.waiting if one.run_id == run.pk]
    post.deliver_all()

    post.waiting = held_back
    post.deliver_all()
    pass_time()
    services.sweep()
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).status == "succeeded"
    assert Run.objects.filter(workflow="lim/singleton").count() == 2


@workflow(name="children/late")
def late(number: int) -> int | None:
    return plain(number)


@workflow(name="children/parent-of-late")
def parent_of_late(number: int) -> int | None:
    return late(number)


def test_a_child_that_waited_for_its_code_is_still_stopped_before_its_parent_s_rollback(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = parent_of_late.start(1, company="acme")
    with monkeypatch.context() as patch:
        patch.delitem(registry.workflows, "children/late")
        post.deliver_all()
    assert Run.objects.get(pk=run.pk).waiting_for == "code"
    pass_time()
    services.sweep()
    post.deliver_one()
    inner = Run.objects.get(workflow="children/late")
    post.deliver_one()  # its step has run, and is to be undone
    assert inner.status == "queued"
    flows.MISBEHAVIOUR["word-plain.compensate"] = flows.fail_for_good

    services.cancel(run.pk, reason="no", by="ann")

    ended = post.run_to_the_end(run)
    assert (ended.status, ended.rollback) == ("cancelled", "incomplete")


def test_a_child_whose_workers_die_while_its_code_is_away_goes_on(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.conf import settings

    from jobs.transitions import claims

    run = parent_of_late.start(1, company="acme")
    node = StepRun.objects.get(run=run.pk)

    def die() -> None:
        held, _ = claims.claim(node.pk, worker="dying", lease=settings.JOBS_LEASE)
        assert held is not None
        pass_time()

    die()
    with monkeypatch.context() as patch:
        patch.delitem(registry.workflows, "children/late")
        post.deliver_all()
    pass_time()
    die()
    die()

    assert post.run_to_the_end(run).status == "succeeded"
    assert Attempt.objects.filter(step_run=node.pk, outcome="lost").count() == 3


@workflow(name="children/until")
def until(moment: datetime) -> int | None:
    sleep_until(moment)
    return plain(1)


@workflow(name="children/parent-of-until")
def parent_of_until(moment: datetime) -> int | None:
    return until(moment)


@workflow(name="children/grandparent-of-until")
def grandparent_of_until(moment: datetime) -> int | None:
    return parent_of_until(moment)


def test_a_child_s_long_sleep_is_no_time_out_of_those_who_wait_for_it(post: Post) -> None:
    moment = datetime.now(UTC) + timedelta(days=30)
    run = grandparent_of_until.start(moment, company="acme")
    post.deliver_all()

    assert Run.objects.filter(deadline_at__gt=moment).count() == 3
    assert post.run_to_the_end(run).status == "succeeded"
