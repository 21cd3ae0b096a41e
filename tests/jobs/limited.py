"""Workflows with limits, levers and special endings, for the engine's tests."""

from datetime import timedelta
from typing import Any

from django.db import transaction

from jobs import Context, Debounce, Limit, Rate, parallel, step, transform, workflow
from jobs.models import Definition
from tests.jobs.flows import a as flow_a
from tests.jobs.flows import plain as flow_plain
from tests.jobs.vocabulary import note, plain


@step(name="lim-slot", concurrency=Limit(2, key=lambda name, number: name))
def slot(ctx: Context, name: str, number: int) -> int:
    note(ctx)
    return number


@workflow(name="lim/concurrency")
def limited(name: str, number: int) -> int:
    return slot(name, number)


@step(name="lim-rate", rate=Rate(2, per=timedelta(hours=1)))
def rated(ctx: Context, number: int) -> int:
    note(ctx)
    return number


@workflow(name="lim/rate")
def limited_rate(number: int) -> int:
    return rated(number)


@workflow(name="lim/runs", concurrency=Limit(1, key=lambda number: number % 2))
def limited_runs(number: int) -> int | None:
    return plain.options(name="lim-second")(plain.options(name="lim-first")(number))


@workflow(name="lim/singleton", singleton=lambda name: name)
def single(name: str) -> int | None:
    return plain(1)


@workflow(name="lim/debounce", debounce=Debounce(timedelta(minutes=5), key=lambda a, b: a))
def debounced(a: str, b: int) -> int | None:
    return plain(b)


@workflow(name="lim/low")
def low(number: int) -> int | None:
    return plain.options(name="lim-low")(number)


@workflow(name="lim/high", priority=5)
def high(number: int) -> int | None:
    return plain.options(name="lim-high")(number)


@workflow(name="lim/key", idempotency=lambda number: f"n-{number % 10}")
def keyed(number: int) -> int | None:
    return plain(number)


@step(name="lim-atomic", atomic=True, attempts=2)
def atomic(ctx: Context, text: str) -> str:
    Definition.objects.create(hash=f"{text}-{ctx.attempt}", workflow="atomic", plan={})
    ctx.undo_with(f"undo-{ctx.attempt}")
    note(ctx)
    return text


@atomic.compensation
def undo_atomic(ctx: Context, text: str) -> None:
    note(ctx, f"({text})")


@step(name="lim-length")
def length(ctx: Context, text: str) -> int:
    return len(text)


@workflow(name="lim/atomic")
def atomically(text: str) -> int | None:
    return plain.options(name="lim-after")(length(atomic(text)))


@step(name="lim-pivot", pivot=True)
def pivot(ctx: Context, number: int | None) -> int | None:
    note(ctx)
    return number


@workflow(name="lim/pivot", timeout=timedelta(hours=1))
def pivoting(number: int) -> int | None:
    return plain.options(name="lim-forward")(pivot(plain(number)))


@workflow(name="lim/over-pivot")
def over_pivot(number: int) -> int | None:
    return plain.options(name="lim-over")(pivoting(number))


@step(name="lim-told")
def told(ctx: Context, error: dict[str, Any]) -> None:
    note(ctx, f" {error['type']} {ctx.output('word-plain')}")


@workflow(name="lim/told", on_failure=told)
def telling(number: int) -> int | None:
    return plain.options(name="lim-failing")(plain(number))


@step(name="lim-memo")
def memo(ctx: Context, number: int) -> int:
    found = ctx.run("fetch", fetch, number)
    note(ctx)
    return found


def fetch(number: int) -> int:
    from tests.jobs.conftest import CALLS

    CALLS.append("fetched")
    return number * 3


@workflow(name="lim/memo")
def remembering(number: int) -> int:
    return memo(number)


@workflow(name="lim/sides")
def sides(number: int) -> int | None:
    first = plain.options(name="lim-a")(number)
    left, _ = parallel(
        plain.options(name="lim-b")(first),
        lambda: plain.options(name="lim-d")(plain.options(name="lim-c")(first)),
    )
    return plain.options(name="lim-e")(left)


@workflow(name="lim/kept")
def kept(text: str) -> int:
    return flow_plain(length(text))


@workflow(name="lim/kept-between")
def kept_between(number: int) -> int:
    """What is undone, what is kept and what failed take turns, in a chain and in branches."""
    first = flow_a(number)
    second = flow_plain.options(name="lim-kept")(first)
    left, right = parallel(
        lambda: flow_plain.options(name="lim-kept-left")(
            flow_a.options(name="lim-again-left")(second)
        ),
        flow_plain.options(name="lim-kept-right")(second),
    )
    both = transform(lambda left, right: left + right, left, right)
    return flow_plain.options(name="lim-end")(both)


def broken_key(number: int) -> str:
    raise RuntimeError("no key")


@step(name="lim-broken", concurrency=Limit(1, key=broken_key))
def broken(ctx: Context, number: int) -> int:
    return number


@workflow(name="lim/broken-step")
def broken_step(number: int) -> int:
    return broken(number)


@workflow(name="lim/broken-run", concurrency=Limit(1, key=broken_key))
def broken_run(number: int) -> int | None:
    return plain(number)


@step(name="lim-open", attempts=2)
def leaves_open(ctx: Context, text: str) -> str:
    transaction.set_autocommit(False)
    Definition.objects.create(hash=f"{text}-{ctx.attempt}", workflow="open", plan={})
    return text


@workflow(name="lim/open")
def leaving_open(text: str) -> str:
    return leaves_open(text)


@workflow(name="lim/apart")
def ending_apart(number: int) -> int | None:
    left, _ = parallel(plain(number), plain(number))
    return left
