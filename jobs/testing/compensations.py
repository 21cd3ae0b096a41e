"""What a run's rollback has undone, compared with what a test expects."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from django.db.models import Count, Q

from jobs.models import Attempt, Run, StepRun
from jobs.plan import COMPENSATE, Kind
from jobs.ports import RunHandle

Expected = Sequence[str | AbstractSet[str]]


def assert_compensated(run: RunHandle[Any], steps: Expected) -> None:
    """Check that exactly these nodes were compensated, once each, in this order.

    A set among them is of nodes whose order does not matter, such as the branches of a `parallel`:
    `["update-status", {"create-items", "notify-supplier"}, "create-order"]`. Items of an `each` are
    `name[0]`, `name[1]`, …; a child run is one node.
    """
    found = Run.objects.get(pk=run.pk)
    done = _done(found)
    names = [name for name, _ in done]
    repeated = [f"{name} {times} times" for name, times in done if times != 1]
    if not _is_as_expected(names, steps) or repeated:
        raise AssertionError(_difference(found, names, steps, repeated))


def _done(run: Run) -> list[tuple[str, int]]:
    """Return each compensated node, in order, with how many attempts at that succeeded."""
    rows = (
        StepRun.objects.filter(
            run=run,
            generation=run.generation,
            phase=StepRun.Phase.COMPENSATION,
            status=StepRun.Status.SUCCEEDED,
        )
        .exclude(kind=Kind.EACH)  # its items are what was undone
        .annotate(times=Count("tries", filter=Q(tries__outcome=Attempt.Outcome.SUCCEEDED)))
        .order_by("finished_at", "id")
    )
    return [
        (row.node.removesuffix(COMPENSATE), row.times if row.kind == Kind.STEP else 1)
        for row in rows
    ]


def _is_as_expected(names: list[str], steps: Expected) -> bool:
    left = list(names)
    for step in steps:
        some = {step} if isinstance(step, str) else set(step)
        taken, left = left[: len(some)], left[len(some) :]
        if set(taken) != some or len(taken) != len(some):
            return False
    return not left


def _difference(run: Run, names: list[str], steps: Expected, repeated: list[str]) -> str:
    wanted = {name for step in steps for name in ([step] if isinstance(step, str) else step)}
    lines = [
        f"run {run.pk} of {run.workflow} ({run.status}, rollback {run.rollback}) was compensated"
        " otherwise:",
        f"  expected: {', '.join(map(_text, steps)) or 'nothing'}",
        f"  in fact:  {', '.join(names) or 'nothing'}",
    ]
    more = {
        "not compensated": sorted(wanted - set(names)),
        "not expected": sorted(set(names) - wanted),
        "more than once": repeated,
        "failed": _failed(run),
    }
    lines += [f"  {what}: {', '.join(which)}" for what, which in more.items() if which]
    if set(names) == wanted and not repeated:
        lines.append("  the nodes are right, and their order is not")
    return "\n".join(lines)


def _text(step: str | AbstractSet[str]) -> str:
    return step if isinstance(step, str) else "{" + ", ".join(sorted(step)) + "}"


def _failed(run: Run) -> list[str]:
    rows = StepRun.objects.filter(
        run=run,
        generation=run.generation,
        phase=StepRun.Phase.COMPENSATION,
        status=StepRun.Status.FAILED,
    ).order_by("id")
    return [f"{row.node} ({(row.error or {}).get('message', 'no error')})" for row in rows]
