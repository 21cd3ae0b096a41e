"""Keys of starts: what counts as the same input, and who may be found by a key."""

from typing import Any

import pytest

from jobs import Context, services, step, workflow
from jobs.errors import IdempotencyConflict
from jobs.models import Run
from tests.jobs import limited
from tests.jobs.conftest import Post, pass_time

pytestmark = pytest.mark.usefixtures("behaviour")


@step(name="keys-any")
def anything(ctx: Context, value: Any) -> Any:
    return value


@workflow(name="keys/any")
def flow(value: Any) -> Any:
    return anything(value)


@pytest.mark.parametrize("value", [1e23, 1.7976931348623157e308, 5e-324, -0.0, 10**30, {"a": 1e23}])
def test_the_same_number_is_the_same_input(post: Post, value: Any) -> None:
    first = flow.start(value, company="acme", idempotency_key="k")

    assert flow.start(value, company="acme", idempotency_key="k").pk == first.pk


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), ([1], [True])])
def test_a_number_and_a_truth_value_are_two_inputs(post: Post, one: Any, other: Any) -> None:
    flow.start(one, company="acme", idempotency_key="k")

    with pytest.raises(IdempotencyConflict):
        flow.start(other, company="acme", idempotency_key="k")


def test_many_starts_with_keys_are_all_or_none(post: Post) -> None:
    limited.keyed.start(3, company="acme")

    with pytest.raises(IdempotencyConflict):
        limited.keyed.start_many([1, 2, 13], company="acme")

    assert Run.objects.count() == 1


def test_a_start_is_not_given_a_debounced_run_that_was_cancelled(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobs.services import levers

    first = limited.debounced.start("a", 1, company="acme")
    # The process that cancels it dies before its steps are given up.
    with monkeypatch.context() as patch:
        patch.setattr(levers, "give_up_unstarted", lambda _: None)
        services.cancel(first.pk, reason="no", by="ann")

    second = limited.debounced.start("a", 2, company="acme")

    assert second.pk != first.pk
    pass_time()
    services.sweep()
    assert post.run_to_the_end(second).output == 2
    assert post.run_to_the_end(first).status == "cancelled"
