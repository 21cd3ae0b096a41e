"""Code that is not deployed when its turn comes, of each kind: the run waits for it and goes on."""

from typing import Any

import pytest

from jobs import addresses, services, transform, when, workflow
from jobs.models import Run, StepRun
from jobs.registry import registry
from tests.jobs import flows, limited, vocabulary
from tests.jobs.conftest import Post, pass_time
from tests.jobs.vocabulary import plain

pytestmark = pytest.mark.usefixtures("behaviour")


@workflow(name="gone/when")
def conditional(number: int) -> int | None:
    with when(number, lambda number: number > 0):
        plain(number)
    return plain.options(name="gone-last")(number)


@workflow(name="gone/transform")
def transformed(number: int) -> int | None:
    return plain(transform(lambda number: number * 3, number))


CASES: list[tuple[Any, tuple[Any, ...], str, str, Any]] = [
    (conditional, (1,), "functions", "", 1),
    (transformed, (2,), "functions", "", 6),
    (vocabulary.parent, (1,), "workflows", "word/child", 1),
    (vocabulary.squares, (3, 1), "steps", "word-square", 8),
    (vocabulary.children, (2,), "workflows", "word/child", 1),
    (limited.limited_runs, (1,), "workflows", "lim/runs", 1),
    (flows.undoing, (1,), "steps", "flow-plain", 2),
]


def hide(patch: pytest.MonkeyPatch, where: str, name: str) -> None:
    if where == "functions":
        patch.setattr(addresses, "_known", {})
    else:
        patch.delitem(getattr(registry, where), name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].name)
def test_a_run_waits_for_code_and_ends_when_it_is_back(
    ways: Post, monkeypatch: pytest.MonkeyPatch, case: Any
) -> None:
    flow, inputs, where, name, output = case
    run = flow.start(*inputs, company="acme")
    with monkeypatch.context() as patch:
        hide(patch, where, name)
        for _ in range(12):
            ways.deliver_all()
            pass_time()
            services.sweep()
        found = Run.objects.get(pk=run.pk)
        assert (found.status, found.waiting_for) == ("waiting", "code")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.output) == ("succeeded", output)


def test_a_rollback_waits_for_its_code_and_goes_on_when_it_is_back(
    ways: Post, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    flows.MISBEHAVIOUR["flow-plain"] = flows.fail_for_good
    run = flows.chain.start(1, company="acme")
    with monkeypatch.context() as patch:
        while Run.objects.get(pk=run.pk).status != "compensating":
            ways.deliver_one()
        hide(patch, "steps", "flow-a")
        for _ in range(12):
            ways.deliver_all()
            pass_time()
            services.sweep()
        row = StepRun.objects.get(run=run.pk, phase="compensation")
        assert (row.status, row.waiting_for) == ("waiting", "code")

    ended = ways.run_to_the_end(run)

    assert (ended.status, ended.rollback) == ("failed", "complete")
    assert len([call for call in calls if "compensate" in call]) == 2
