"""Retries and forks of runs in odd states."""

from typing import Any

import pytest
from django.conf import settings
from django.db import DataError
from django.utils import timezone

from jobs import Context, attempts, each, parallel, services, step, workflow
from jobs.errors import RunRefused
from jobs.models import Run, StepRun, Wait
from jobs.ports import ports
from jobs.services import levers, turning
from jobs.transitions import claims
from tests.jobs import flows, limited, vocabulary
from tests.jobs.conftest import Post

pytestmark = pytest.mark.usefixtures("behaviour")


class Outbox:
    """Keeps what becomes visible."""

    def __init__(self) -> None:
        self.published: list[Any] = []

    def describe(self, event: Any, payload: Any) -> tuple[str, Any]:
        return event, payload

    def publish(self, event_type: str, payload: Any, **_: Any) -> None:
        self.published.append(payload)

    def past(self, *_: Any) -> Any:
        return iter(())


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Outbox:
    made = Outbox()
    monkeypatch.setattr(ports, "events", made)
    return made


@step(name="round-publish")
def publishing(ctx: Context, number: int) -> int:
    ctx.publish("round.done", {"key": ctx.idempotency_key})
    return number


@publishing.compensation
def undo_publishing(ctx: Context, number: int) -> None:
    ctx.publish("round.undone", {"key": ctx.idempotency_key})


@workflow(name="round/publish")
def published(number: int) -> int:
    return flows.plain(publishing(number))


def test_an_event_of_a_step_that_was_undone_stays_unseen(post: Post, outbox: Outbox) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    run = published.start(1, company="acme")
    assert post.run_to_the_end(run).rollback == "complete"
    flows.MISBEHAVIOUR.clear()

    services.retry(run.pk, reason="mended", by="ann")
    assert post.run_to_the_end(run).status == "succeeded"

    assert outbox.published == [{"key": f"{run.pk}/round-publish/2"}]


@step(name="round-item")
def item(ctx: Context, number: int) -> int:
    return number * 10


@workflow(name="round/beside")
def beside(numbers: list[int]) -> list[int]:
    found, _ = parallel(each(numbers, item), flows.plain(1))
    return found


@pytest.mark.parametrize("lever", ["retry", "fork"])
def test_a_list_whose_items_were_all_done_keeps_their_outputs(post: Post, lever: str) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    run = beside.start([1, 2], company="acme")
    deliver(post, "jobs.each")
    deliver(post, "round-item")
    last = StepRun.objects.get(run=run.pk, status="ready", each__isnull=False)
    held, _ = claims.claim(last.pk, worker="slow", lease=settings.JOBS_LEASE)
    assert held is not None
    deliver(post, "flow-plain")
    attempts.run(held, None)
    assert post.run_to_the_end(run).status == "failed"
    flows.MISBEHAVIOUR.clear()

    if lever == "retry":
        again = services.retry(run.pk, reason="mended", by="ann")
    else:
        again = services.fork(run.pk, from_step="flow-plain", reason="mended", by="ann")
    ended = post.run_to_the_end(again)

    assert (ended.status, ended.output) == ("succeeded", [10, 20])


def deliver(post: Post, task: str) -> None:
    """Deliver the first message for the task, whatever waits before it."""
    index = next(i for i, one in enumerate(post.waiting) if one.task == task)
    post.waiting.insert(0, post.waiting.pop(index))
    post.deliver_one()


def test_an_event_sent_to_a_retried_run_reaches_its_new_wait(post: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    post.deliver_all()
    services.cancel(run.pk, reason="no", by="ann")
    post.run_to_the_end(run)
    services.retry(run.pk, reason="after all", by="ann")
    post.deliver_all()

    services.send_event(run.pk, "payment.settled", {"order": "o-1", "n": 1})
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).output == {"order": "o-1", "n": 1}


def test_a_wait_that_is_given_up_is_forgotten(post: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    post.deliver_all()
    assert Wait.objects.count() == 1

    services.cancel(run.pk, reason="no", by="ann")

    assert Wait.objects.count() == 0


def test_an_event_that_a_stopped_wait_had_taken_is_there_for_the_next(post: Post) -> None:
    run = vocabulary.waiting.start("o-1", company="acme")
    post.deliver_all()
    services.send_event(run.pk, "payment.settled", {"order": "o-1", "n": 1})
    post.waiting.clear()  # nobody has told the wait yet
    services.cancel(run.pk, reason="no", by="ann")
    post.run_to_the_end(run)

    services.retry(run.pk, reason="after all", by="ann")
    post.deliver_all()

    assert Run.objects.get(pk=run.pk).output == {"order": "o-1", "n": 1}


def test_a_retry_that_loses_its_singleton_key_to_a_start_is_refused(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows.MISBEHAVIOUR["word-plain"] = flows.fail_for_good
    first = limited.single.start("a", company="acme")
    assert post.run_to_the_end(first).status == "failed"
    limited.single.start("a", company="acme")

    with monkeypatch.context() as patch:  # it begins between the look and the write
        patch.setattr(levers, "_refuse_second_singleton", lambda _: None)
        with pytest.raises(RunRefused, match="singleton"):
            services.retry(first.pk, reason="again", by="ann")

    assert Run.objects.get(pk=first.pk).generation == 1


def test_an_end_that_the_database_refuses_is_put_off(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = limited.ending_apart.start(1, company="acme")

    def refuse(_: Run) -> bool:
        raise DataError("too large")

    with monkeypatch.context() as patch:
        patch.setattr(turning, "_end_forward", refuse)
        post.deliver_all()

    assert Run.objects.filter(pk=run.pk, turn_at__gt=timezone.now()).exists()
