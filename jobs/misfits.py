"""Runs in flight whose pinned definitions the deployed code does not fit: they would wait for it.

Asked of each distinct definition, not of each run. Whether a run is past the node in question is
not looked at: its compensation needs the step too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from celery import current_app
from django.db.models import Count, Min, TextField
from django.db.models.functions import Cast

from jobs import addresses
from jobs.errors import UnknownFunction
from jobs.models import Definition, Run
from jobs.plan import Kind, Node, Plan
from jobs.registry import registry

TYPES_CHANGED = "takes or returns other types than when the run was started"
FUNCTIONS = (Kind.TRANSFORM, Kind.WHEN)


@dataclass(frozen=True)
class Misfit:
    """A definition in flight that the code does not fit, with one of its runs as an example."""

    workflow: str
    definition: str
    runs: int
    example: str
    problems: tuple[str, ...]


def in_flight() -> tuple[list[Misfit], int]:
    """Return what does not fit, and how many runs are in flight in all; two queries."""
    # Of UUIDs Postgres knows no min() before 18.
    example = Min(Cast("pk", TextField()))
    live = Run.objects.exclude(status__in=Run.ENDED).values("definition").order_by()
    found = {
        row["definition"]: (row["runs"], row["example"])
        for row in live.annotate(runs=Count("pk"), example=example)
    }
    pinned = Definition.objects.filter(pk__in=found).order_by("workflow", "created_at")
    misfits = [
        Misfit(one.workflow, one.pk, *found[one.pk], problems)
        for one in pinned
        if (problems := tuple(problems_of(one.workflow, Plan.from_json(one.plan))))
    ]
    return misfits, sum(runs for runs, _ in found.values())


def problems_of(workflow: str, plan: Plan) -> Iterator[str]:
    """Yield what of a pinned plan the deployed code lacks or has otherwise."""
    if workflow not in registry.workflows:
        yield f"workflow {workflow!r} is not in the deployed code"
    for node in plan.nodes:
        if problem := _problem(node):
            yield f"node {node.name!r}: {problem}"


def _problem(node: Node) -> str | None:
    kind = node.extra["body"] if node.kind == Kind.EACH else node.kind
    if kind in FUNCTIONS:
        return _function_problem(node.step)
    if kind == Kind.TASK:
        return _missing("task", node.step) if node.step not in current_app.tasks else None
    if kind not in (Kind.STEP, Kind.CHILD):
        return None
    known = registry.steps if kind == Kind.STEP else registry.workflows
    target = known.get(node.step)
    if target is None:
        return _missing("step" if kind == Kind.STEP else "workflow", node.step)
    pinned = node.extra.get("types")
    if pinned is not None and pinned != target.types:
        return f"{node.step!r} {TYPES_CHANGED}"
    return None


def _function_problem(address: str) -> str | None:
    try:
        addresses.function(address)
    except UnknownFunction:
        return _missing("function", address)
    return None


def _missing(what: str, name: str) -> str:
    return f"{what} {name!r} is not in the deployed code"
