"""Workflows for the engine's tests: each step notes its name, and can be told to misbehave."""

from jobs import Context, Done, PermanentFailure, Skip, parallel, step, workflow
from tests.jobs.conftest import CALLS
from tests.jobs.conftest import MISBEHAVIOUR as MISBEHAVIOUR


def _note(ctx: Context) -> None:
    CALLS.append(ctx.step)
    if ctx.step in MISBEHAVIOUR:
        MISBEHAVIOUR[ctx.step](ctx)


@step(name="flow-a")
def a(ctx: Context, number: int) -> int:
    _note(ctx)
    return number + 1


@a.compensation
def undo_a(ctx: Context, result: int) -> None:
    CALLS.append(f"{ctx.step}({result})")
    if ctx.step in MISBEHAVIOUR:
        MISBEHAVIOUR[ctx.step](ctx)


@step(name="flow-b")
def b(ctx: Context, left: int, right: int) -> int:
    _note(ctx)
    return left + right


@b.compensation
def undo_b(ctx: Context, result: int) -> None:
    CALLS.append(f"{ctx.step}({result})")


@step(name="flow-plain")
def plain(ctx: Context, number: int) -> int:
    _note(ctx)
    return number


@step(name="flow-done")
def done(ctx: Context, number: int) -> Done[int]:
    _note(ctx)
    return Done(number, undo={"was": number})


@done.compensation
def undo_done(ctx: Context, undo: dict[str, int]) -> None:
    CALLS.append(f"{ctx.step}({undo})")


@step(name="flow-skip")
def skip(ctx: Context, number: int) -> int | None:
    CALLS.append(ctx.step)
    raise Skip("nothing to do")


@skip.compensation
def undo_skip(ctx: Context, result: int | None) -> None:
    CALLS.append(ctx.step)


@workflow(name="flow/chain")
def chain(number: int) -> int:
    return plain(a(a(number)))


@workflow(name="flow/diamond")
def diamond(number: int) -> int:
    first = a(number)
    left, right = parallel(a(first), lambda: a(a(first)))
    return b(left, right)


@workflow(name="flow/pair")
def pair(number: int) -> int:
    first = a(number)
    left, right = parallel(a(first), a(first))
    return b(left, right)


@workflow(name="flow/nested")
def nested(number: int) -> int:
    def inner() -> int:
        left, right = parallel(a(number), a(number))
        return b(left, right)

    x, y, _ = parallel(inner, lambda: a(plain(number)), plain(number))
    p, q = parallel(plain(x), plain(y))
    return b(p, q)


@workflow(name="flow/undo")
def undoing(number: int) -> int:
    return plain(done(a(number)))


@workflow(name="flow/skipping")
def skipping(number: int) -> int:
    skip(number)
    return plain(number)


def fail_for_good(ctx: Context) -> None:
    raise PermanentFailure("no")


def fail_with_undo(ctx: Context) -> None:
    raise PermanentFailure("no", undo=77)


def fail(ctx: Context) -> None:
    raise RuntimeError("not now")


@step(name="flow-saving")
def saving(ctx: Context, number: int) -> int:
    ctx.undo_with({"saved": number})
    _note(ctx)
    return number


@saving.compensation
def undo_saving(ctx: Context, undo: dict[str, int] | int) -> None:
    CALLS.append(f"{ctx.step}({undo})")


@workflow(name="flow/saving")
def saving_flow(number: int) -> int:
    return plain(saving(number))
