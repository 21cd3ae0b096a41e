"""Values that turn out otherwise than the plan, the types or Python expect."""

from datetime import timedelta
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

from jobs import Context, services, sleep_until, step, transform, wait_for, workflow
from jobs.errors import InvalidInput
from jobs.models import Attempt, Run, StepRun
from jobs.transitions import waits
from tests.jobs.conftest import Post, pass_time
from tests.jobs.vocabulary import plain

pytestmark = pytest.mark.usefixtures("behaviour")


@step(name="odd-dict")
def found(ctx: Context, number: int) -> dict[str, Any]:
    return {"list": [], "number": number}


@step(name="odd-list")
def listed(ctx: Context, number: int) -> list[int]:
    return []


@step(name="odd-use")
def use(ctx: Context, value: Any) -> Any:
    return value


@workflow(name="odd/input")
def into_a_step(number: int) -> Any:
    return use(found(number)["gone"])


@workflow(name="odd/index")
def into_a_step_by_index(number: int) -> Any:
    return use(listed(number)[3])


@workflow(name="odd/transform")
def into_a_function(number: int) -> Any:
    return use(transform(lambda value: value, found(number)["number"]["deeper"]))


@workflow(name="odd/moment")
def into_a_moment(number: int) -> Any:
    sleep_until(found(number)["gone"])
    return use(1)


@workflow(name="odd/output")
def output_by_key(number: int) -> Any:
    return found(number)["gone"]


@workflow(name="odd/output-index")
def output_by_index(number: int) -> Any:
    return listed(number)[3]


@pytest.mark.parametrize(
    "flow",
    [
        into_a_step,
        into_a_step_by_index,
        into_a_function,
        into_a_moment,
        output_by_key,
        output_by_index,
    ],
)
def test_a_value_without_the_part_that_the_plan_names_fails_the_run_at_once(
    ways: Post, flow: Any
) -> None:
    run = flow.start(1, company="acme")

    ways.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert ended.error is not None
    assert (ended.status, ended.error["type"]) == ("failed", "InvalidInput")
    assert (
        "gone" in ended.error["message"]
        or "deeper" in ended.error["message"]
        or ("3" in ended.error["message"])
    )
    assert set(Attempt.objects.values_list("outcome", flat=True)) <= {"succeeded", "failed"}


def _touchy(value: int) -> int:
    if value == 13:
        raise RuntimeError("unlucky")
    return value


Touchy = Annotated[int, AfterValidator(_touchy)]


@step(name="odd-touchy")
def touchy(ctx: Context, number: Touchy) -> int:
    return number


@step(name="odd-thirteen")
def thirteen(ctx: Context, number: int) -> int:
    return 13


@workflow(name="odd/touchy-input")
def touchy_input(number: int) -> int:
    return touchy(thirteen(number))


@workflow(name="odd/touchy-output")
def touchy_output(number: int) -> Touchy:
    return thirteen(number)


@workflow(name="odd/touchy-start")
def touchy_start(number: Touchy) -> int:
    return thirteen(number)


@pytest.mark.parametrize("flow", [touchy_input, touchy_output])
def test_a_type_whose_check_breaks_fails_the_run_at_once(ways: Post, flow: Any) -> None:
    run = flow.start(1, company="acme")

    ways.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert ended.error is not None
    assert ended.status == "failed"
    assert "unlucky" in ended.error["message"]


def test_a_type_whose_check_breaks_starts_nothing(post: Post) -> None:
    with pytest.raises(InvalidInput, match="unlucky"):
        touchy_start.start(13, company="acme")


def test_input_that_is_nested_too_deeply_starts_nothing(post: Post) -> None:
    value: Any = 1
    for _ in range(5_000):
        value = [value]

    @workflow(name="odd/never")
    def flow(value: Any) -> Any:
        return use(value)

    with pytest.raises(InvalidInput):
        flow.start(value, company="acme")


@workflow(name="odd/wait")
def waiting(number: int) -> Any:
    plain(number)
    return use(wait_for("odd.event", timeout=timedelta(days=1)))


@pytest.mark.parametrize("payload", ['{"n": 1e5000}', '{"n": ' + "[" * 3000 + "]" * 3000 + "}"])
@pytest.mark.parametrize("cancels", [False, True])
def test_an_event_that_python_cannot_read_fails_its_wait(
    post: Post, payload: str, cancels: bool
) -> None:
    run = waiting.start(1, company="acme")
    post.deliver_all()
    event = f'[{{"type": "odd.event", "company": "acme", "payload": {payload}}}]'
    waits.offer(event, resend=timedelta(minutes=1))
    if cancels:
        services.cancel(run.pk, reason="no", by="ann")
    for _ in range(3):
        pass_time()
        services.sweep()
        post.deliver_all()

    ended = Run.objects.get(pk=run.pk)
    assert (ended.status, ended.rollback) == ("cancelled" if cancels else "failed", "complete")
    assert StepRun.objects.filter(run=run.pk, status__in=["ready", "running"]).count() == 0


@pytest.mark.parametrize("payload", [None, 5, "text", [1]])
def test_a_payload_that_no_wait_could_take_is_refused(post: Post, payload: Any) -> None:
    run = waiting.start(1, company="acme")
    post.deliver_all()

    with pytest.raises(InvalidInput, match="object"):
        services.send_event(run.pk, "odd.event", payload)
