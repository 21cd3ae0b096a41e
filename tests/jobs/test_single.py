"""Jobs: one function that is a step and the workflow of it."""

from datetime import timedelta
from typing import Any, assert_type

import pytest
from pydantic import BaseModel

from jobs import Context, Every, job, step, workflow
from jobs.errors import DefinitionError
from jobs.ports import RunHandle
from tests.jobs.conftest import Post

pytestmark = pytest.mark.usefixtures("forget_definitions")


class Payload(BaseModel):
    number: int = 3


@job(name="billing/double", queue="orders", attempts=1, schedule=None)
def double(ctx: Context, payload: Payload) -> int:
    """Twice the number."""
    return payload.number * 2


@step(name="single-told")
def told(ctx: Context, error: dict[str, Any]) -> None:
    return None


def test_a_job_is_a_workflow_of_one_step_of_its_name(post: Post) -> None:
    run = double.start(Payload(number=21), company="acme")

    post.run_to_the_end(run)

    assert_type(run, RunHandle[int])
    assert run.result(timeout=0) == 42
    assert double.step.options_.attempts == 1
    assert [node.name for node in double.plan.nodes] == ["billing/double"]
    assert (double.queue, double.__doc__) == ("orders", "Twice the number.")


def test_a_job_in_a_workflow_is_a_child_run() -> None:
    @workflow(name="single/parent")
    def parent(payload: Payload) -> int:
        return double(payload)

    assert parent.plan.node("billing/double").kind == "child"


def test_a_job_takes_the_options_of_its_step_and_of_its_workflow() -> None:
    @job(
        name="single/options",
        timeout=timedelta(seconds=5),
        priority=9,
        retention=3600,
        singleton=lambda payload: payload.number,
        on_failure=told,
    )
    def made(ctx: Context, payload: Payload) -> None:
        return None

    @made.compensation
    def undo(ctx: Context) -> None:
        return None

    assert made.step.options_.timeout == timedelta(seconds=5)
    assert made.options_.retention == timedelta(hours=1)
    assert (made.options_.priority, made.options_.on_failure) == (9, "single-told")
    assert made.step.compensation_ is not None
    assert made.fn(object(), Payload()) is None


def test_a_default_that_start_would_not_use_is_refused() -> None:
    with pytest.raises(DefinitionError, match="field of a pydantic model"):

        @job(name="single/default")
        def made(ctx: Context, number: int = 3) -> None:
            return None


def test_a_schedule_needs_a_job_that_needs_no_input() -> None:
    @job(name="single/scheduled", schedule=Every(minutes=5))
    def made(ctx: Context, payload: Payload) -> None:
        return None

    with pytest.raises(DefinitionError, match="fields all have defaults"):

        @job(name="single/unscheduled", schedule=Every(minutes=5))
        def refused(ctx: Context, number: int) -> None:
            return None
