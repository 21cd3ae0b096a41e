"""Workflows that use every word of the vocabulary, for the engine's tests."""

from datetime import timedelta
from typing import Any

from jobs import (
    Context,
    Done,
    PermanentFailure,
    Skip,
    each,
    parallel,
    sleep,
    step,
    transform,
    wait_for,
    when,
    workflow,
)
from tests.jobs.conftest import CALLS
from tests.jobs.flows import MISBEHAVIOUR


def note(ctx: Context, what: str = "") -> None:
    CALLS.append(ctx.step + what)
    if ctx.step in MISBEHAVIOUR:
        MISBEHAVIOUR[ctx.step](ctx)


@step(name="word-list")
def listed(ctx: Context, count: int) -> list[int]:
    note(ctx)
    return list(range(count))


@step(name="word-square")
def square(ctx: Context, number: int, plus: int) -> int:
    note(ctx)
    return number * number + plus


@square.compensation
def undo_square(ctx: Context, result: int) -> None:
    note(ctx, f"({result})")


@step(name="word-total")
def total(ctx: Context, numbers: list[int]) -> int:
    note(ctx)
    return sum(numbers)


@step(name="word-total-some")
def total_some(ctx: Context, numbers: list[int | None]) -> int:
    note(ctx)
    return sum(number or 0 for number in numbers)


@workflow(name="word/each")
def squares(count: int, plus: int) -> int:
    numbers = listed(count)
    return total(each(numbers, square, plus, max_parallel=2))


@step(name="word-skip-odd", on_failure="continue")
def skip_odd(ctx: Context, number: int) -> int | None:
    note(ctx)
    if number % 2:
        raise Skip("odd")
    if number == 4:
        raise PermanentFailure("four")
    return number


@workflow(name="word/each-some")
def some(count: int) -> int:
    return total_some(each(listed(count), skip_odd))


@step(name="word-plain")
def plain(ctx: Context, number: int | None) -> int | None:
    note(ctx)
    return number


@plain.compensation
def undo_plain(ctx: Context, result: int | None) -> None:
    note(ctx, f"({result})")


@workflow(name="word/when")
def conditional(number: int) -> int | None:
    first = plain(number)
    with when(first, lambda number: (number or 0) > 10):
        second = plain.options(name="word-big")(first)
        plain.options(name="word-bigger")(second)
    return plain.options(name="word-last")(second)


def add(left: int | None, right: int) -> int:
    return (left or 0) + right


@workflow(name="word/transform")
def transformed(number: int) -> int | None:
    both = transform(add, plain(number), number)
    return plain.options(name="word-after")(transform(lambda total: total * 2, both))


@workflow(name="word/sleep")
def sleeping(number: int) -> int | None:
    first = plain(number)
    sleep(timedelta(days=365))
    return plain.options(name="word-awake")(first)


@step(name="word-seen")
def seen(ctx: Context, payload: dict[str, Any] | None) -> Any:
    note(ctx)
    return payload


@workflow(name="word/wait")
def waiting(order: str) -> Any:
    plain(1)
    event = wait_for("payment.settled", match={"order": order}, timeout=timedelta(days=3))
    return seen(event)


@workflow(name="word/child")
def child(number: int | None) -> int | None:
    return plain.options(name="word-inner")(plain.options(name="word-inner-first")(number))


@workflow(name="word/parent")
def parent(number: int) -> int | None:
    result = child(plain(number))
    return plain.options(name="word-outer")(result)


@workflow(name="word/children")
def children(count: int) -> int:
    return total_some(each(listed(count), child, max_parallel=2))


@step(name="word-optional", on_failure="continue", attempts=1)
def optional(ctx: Context, number: int) -> int:
    ctx.undo_with(number)
    note(ctx)
    return number


@optional.compensation
def undo_optional(ctx: Context, number: int) -> None:
    note(ctx, f"({number})")


@workflow(name="word/continue")
def continuing(number: int) -> int | None:
    first = optional(number)
    return plain.options(name="word-last")(first)


@step(name="word-ending", on_failure="skip_rest", attempts=1)
def ending(ctx: Context, number: int) -> int:
    note(ctx)
    return number


@workflow(name="word/skip-rest")
def skipping_rest(number: int) -> int | None:
    _, b = parallel(
        lambda: plain.options(name="word-left-after")(ending(number)),
        lambda: plain.options(name="word-right-after")(plain.options(name="word-right")(number)),
    )
    return plain.options(name="word-behind")(b)


@step(name="word-done")
def done(ctx: Context, number: int) -> Done[int]:
    note(ctx)
    return Done(number, undo=number)


@workflow(name="word/sleep-beside")
def sleeping_beside(number: int) -> int | None:
    def asleep() -> int | None:
        sleep(timedelta(days=1))
        return plain.options(name="word-asleep")(number)

    left, _ = parallel(asleep, plain.options(name="word-beside")(number))
    return left
