"""The items of a list that a lever keeps are kept with it."""

import pytest

from jobs import Context, each, services, step, when, workflow
from jobs.models import StepRun
from tests.jobs.conftest import Post
from tests.jobs.vocabulary import listed, note, plain, total

pytestmark = pytest.mark.usefixtures("behaviour")


@step(name="fork-added")
def added(ctx: Context, number: int, more: int | None) -> int:
    note(ctx)
    return number + (more or 0)


@workflow(name="fork/list-behind-when")
def list_behind_when(count: int) -> int:
    with when(count, lambda count: count > 100):
        more = plain.options(name="fork-more")(count)
    return total(each(listed(count), added, more))


def test_a_list_is_kept_whole_though_what_it_might_have_used_never_ran(
    ways: Post, calls: list[str]
) -> None:
    run = list_behind_when.start(3, company="acme")
    ways.run_to_the_end(run)
    calls.clear()

    fork = services.fork(run.pk, from_step="word-total", reason="again")
    ended = ways.run_to_the_end(fork)

    assert (ended.status, ended.output) == ("succeeded", 3)
    assert calls == ["word-total"]
    assert StepRun.objects.filter(run=fork.pk, each="fork-added").count() == 3
