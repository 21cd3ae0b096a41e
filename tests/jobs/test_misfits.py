"""`manage.py check_runs`: what is in flight and would wait for code."""

import io
from typing import Any

import pytest
from django.core.management import call_command

from jobs import services
from jobs.registry import registry
from tests.jobs import flows, told
from tests.jobs.conftest import Post

pytestmark = pytest.mark.usefixtures("forget_definitions")


def check_runs() -> tuple[int, str]:
    """Return the exit code and what was printed."""
    printed = io.StringIO()
    try:
        call_command("check_runs", stdout=printed, stderr=printed)
    except SystemExit as ended:
        return int(str(ended.code)), printed.getvalue()
    return 0, printed.getvalue()


def test_all_fits_what_was_deployed_when_they_started(post: Post) -> None:
    flows.chain.start(1, company="acme")
    told.everything.start([1], company=None)

    assert check_runs() == (0, "2 runs in flight, and this code fits all of them\n")


def test_a_step_that_is_gone_is_listed_with_its_runs(post: Post) -> None:
    runs: list[Any] = [flows.chain.start(number, company="acme") for number in range(3)]
    flows.pair.start(1, company="acme")
    del registry.steps["flow-plain"]

    code, printed = check_runs()

    assert code == 1
    assert "flow/chain" in printed
    assert "3 runs in flight" in printed
    assert any(str(run.pk) in printed for run in runs)
    assert "node 'flow-plain': step 'flow-plain' is not in the deployed code" in printed
    assert "flow/pair" not in printed
    assert "3 of 4 runs in flight would wait for code" in printed


def test_types_that_changed_are_listed(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    flows.chain.start(1, company="acme")
    monkeypatch.setitem(registry.steps["flow-plain"].__dict__, "types", "0123456789abcdef")

    code, printed = check_runs()

    assert code == 1
    assert "node 'flow-plain': 'flow-plain' takes or returns other types" in printed


@pytest.mark.parametrize(
    ("names", "gone", "said"),
    [
        ("workflows", "told/child", "node 'told/child': workflow 'told/child' is not"),
        ("workflows", "told/all", "  workflow 'told/all' is not"),
        ("steps", "flow-a", "node 'flow-a': step 'flow-a' is not"),
    ],
)
def test_items_and_child_runs_need_their_code_too(
    post: Post, names: str, gone: str, said: str
) -> None:
    told.everything.start([1], company="acme")
    del getattr(registry, names)[gone]

    code, printed = check_runs()

    assert code == 1
    assert said in printed


def test_a_function_that_is_gone_is_listed(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    told.everything.start([1], company="acme")
    monkeypatch.setattr("jobs.addresses._known", {})
    monkeypatch.delattr(told, "count")

    code, printed = check_runs()

    assert code == 1
    assert "function 'tests.jobs.told:count' is not in the deployed code" in printed


def test_runs_that_have_ended_need_no_code(post: Post) -> None:
    post.run_to_the_end(flows.chain.start(1, company="acme"))
    cancelled: Any = flows.chain.start(2, company="acme")
    services.cancel(cancelled.pk, reason="r")
    del registry.steps["flow-plain"]

    assert check_runs()[0] == 0


def test_many_runs_are_asked_about_as_fast_as_one(
    post: Post, django_assert_num_queries: Any
) -> None:
    flows.chain.start_many([1] * 500, company="acme")

    with django_assert_num_queries(2):
        code, printed = check_runs()

    assert (code, printed) == (0, "500 runs in flight, and this code fits all of them\n")
