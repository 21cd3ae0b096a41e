"""Workflows whose effects are counted: of atomic steps as rows, of others in lists."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group

from jobs import (
    Context,
    Done,
    PermanentFailure,
    each,
    parallel,
    sleep,
    step,
    transform,
    wait_for,
    when,
    workflow,
)

OUTSIDE: list[tuple[str, str]] = []  # (node, idempotency key) of each call outside
UNDONE: list[tuple[str, Any]] = []  # (compensation's node, its argument)
COMPUTED: list[str] = []  # nodes whose memo was computed


def clear() -> None:
    for kept in (OUTSIDE, UNDONE, COMPUTED):
        kept.clear()


def call_outside(ctx: Context) -> None:
    OUTSIDE.append((ctx.step, ctx.idempotency_key.removeprefix(str(ctx.run_id))))


def write_row(ctx: Context) -> None:
    """Write one row for each time that this is committed."""
    Group.objects.create(name=f"{ctx.run_id}/{ctx.step}/{ctx.attempt}")


def rows_of(run_id: Any) -> list[str]:
    """Return the nodes whose rows are committed, each as often as it is."""
    names = Group.objects.filter(name__startswith=f"{run_id}/").values_list("name", flat=True)
    return sorted(name.split("/")[1] for name in names)


@step(name="led-outside")
def outside(ctx: Context, number: int) -> int:
    call_outside(ctx)
    return number + 1


@outside.compensation
def undo_outside(ctx: Context, result: int) -> None:
    UNDONE.append((ctx.step, result))


@step(name="led-atomic", atomic=True)
def atomic(ctx: Context, number: int) -> int:
    write_row(ctx)
    ctx.undo_with({"row": number})
    return number + 1


@atomic.compensation
def undo_atomic(ctx: Context, undo: dict[str, int]) -> None:
    UNDONE.append((ctx.step, undo))
    write_row(ctx)


@step(name="led-saving")
def saving(ctx: Context, number: int) -> int:
    ctx.undo_with({"reserved": number})
    call_outside(ctx)
    ctx.undo_with({"reserved": number, "charged": True})
    found = ctx.run("fetch", fetch, ctx.step, number)
    ctx.progress(0.5, "half")
    return found


@saving.compensation
def undo_saving(ctx: Context, undo: dict[str, Any]) -> None:
    UNDONE.append((ctx.step, undo))


def fetch(node: str, number: int) -> int:
    COMPUTED.append(node)
    return number * 10


@step(name="led-done")
def done(ctx: Context, number: int) -> Done[int]:
    return Done(number + 1, undo={"was": number})


@done.compensation
def undo_done(ctx: Context, undo: dict[str, int]) -> None:
    UNDONE.append((ctx.step, undo))


@step(name="led-end")
def end(ctx: Context, number: int, fails: bool) -> int:
    call_outside(ctx)
    if fails:
        raise PermanentFailure("refused", undo={"half": number})
    return number


@end.compensation
def undo_end(ctx: Context, undo: dict[str, int] | int) -> None:
    UNDONE.append((ctx.step, undo))


def both(left: int, right: int) -> int:
    return left + right


@workflow(name="led/chain")
def chain(number: int, fails: bool) -> int:
    return end(done(saving(atomic(outside(number)))), fails)


@workflow(name="led/group")
def group(number: int, fails: bool) -> int:
    left, right, _ = parallel(
        outside(number), lambda: atomic(saving(atomic(number))), atomic(number)
    )
    return end(transform(both, left, right), fails)


@workflow(name="led/items")
def items(number: int, fails: bool) -> int:
    rows = each(transform(lambda count: list(range(count)), number), atomic, max_parallel=2)
    calls = each(rows, outside, max_parallel=2)
    return end(transform(sum, calls), fails)


@workflow(name="led/inner")
def inner(number: int) -> int:
    return outside(atomic(number))


@workflow(name="led/family")
def family(number: int, fails: bool) -> int:
    first = outside(number)
    return end(inner(first), fails)


@workflow(name="led/words")
def words(number: int, fails: bool) -> int:
    first = outside(number)
    with when(first, lambda first: first > 0):
        atomic(first)
    with when(first, lambda first: first < 0):
        done(first)
    sleep(timedelta(days=30))
    paid = wait_for("led.paid", match={"order": first}, timeout=timedelta(days=2))
    later = atomic(transform(lambda paid: paid["amount"] if paid else 0, paid))
    return end(later, fails)


@workflow(name="led/once")
def once(number: int, fails: bool) -> int:
    return end(atomic(number), fails)


@step(name="led-only-try", attempts=1)
def only_try(ctx: Context, way: str) -> Done[str]:
    if way == "undo_with":
        ctx.undo_with({"half": way})
        call_outside(ctx)
        ctx.undo_with({"whole": way})
    if way == "failure":
        raise PermanentFailure("refused", undo={"failed": way})
    return Done(way, undo={"done": way}) if way == "done" else Done(way)


@only_try.compensation
def undo_only_try(ctx: Context, undo: dict[str, str]) -> None:
    UNDONE.append((ctx.step, undo))


@workflow(name="led/only-try")
def trying_once(way: str) -> int:
    only_try(way)
    return end(1, True)


@step(name="led-two-tries", attempts=2)
def two_tries(ctx: Context, number: int) -> int:
    ctx.undo_with({"try": ctx.attempt})
    return number


@two_tries.compensation
def undo_two_tries(ctx: Context, undo: dict[str, int] | int) -> None:
    UNDONE.append((ctx.step, undo))


@workflow(name="led/two-tries")
def trying_twice(number: int) -> int:
    return two_tries(number)


@workflow(name="led/saving")
def saving_only(number: int) -> int:
    return saving(number)
