"""What there is to tell about one run, read in a handful of queries however long it is."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db.models import Count

from jobs.errors import UnknownRun
from jobs.models import Action, Attempt, Run, StepRun, Wait
from jobs.plan import COMPENSATE, Plan

NOTABLE_ITEMS = 20  # of an `each`: that many of those which did not simply succeed are shown
ATTEMPTS = 5  # of a step: the last ones
LARGE = ("value", "output", "undo", "needs")


@dataclass(frozen=True)
class Items:
    """The items of an `each`: how many there are of each status, and those worth a look."""

    counts: Counter[str] = field(default_factory=Counter)
    notable: list[StepRun] = field(default_factory=list)


@dataclass(frozen=True)
class Story:
    """A run of the present generation; the dicts are by node, or by the id of a step."""

    run: Run
    plan: Plan
    steps: dict[str, StepRun]
    items: dict[str, Items]
    attempts: dict[int, list[Attempt]]
    waits: dict[int, Wait]
    children: dict[int, list[Run]]
    actions: list[Action]
    forks: list[UUID]

    def compensation(self, node: str) -> StepRun | None:
        return self.steps.get(node + COMPENSATE)

    @property
    def others(self) -> list[StepRun]:
        """Steps that are not in the plan: the one that is told of the failure."""
        planned = {node.name for node in self.plan.nodes}
        known = planned | {name + COMPENSATE for name in planned}
        return [row for name, row in self.steps.items() if name not in known]


def read(run_id: UUID) -> Story:
    """Return the run's story; raises `UnknownRun`."""
    run = Run.objects.select_related("definition").filter(pk=run_id).first()
    if run is None:
        raise UnknownRun(run_id)
    rows = StepRun.objects.filter(run=run, generation=run.generation).defer(*LARGE)
    steps = {row.node: row for row in rows.filter(each=None).order_by("pk")}
    items = _items(rows)
    shown = [*steps.values(), *(row for found in items.values() for row in found.notable)]
    ids = [row.pk for row in shown]
    return Story(
        run=run,
        plan=Plan.from_json(run.definition.plan),
        steps=steps,
        items=items,
        attempts=_attempts(shown),
        waits={wait.pk: wait for wait in Wait.objects.filter(pk__in=ids)},
        children=_by_parent(Run.objects.filter(parent__in=ids).order_by("pk")),
        actions=list(run.actions.order_by("pk")),
        forks=list(run.forks.order_by("pk").values_list("pk", flat=True)),
    )


def _items(rows: Any) -> dict[str, Items]:
    found: dict[str, Items] = defaultdict(Items)
    of_each = rows.filter(each__isnull=False)
    for each, status, count in (
        of_each.values_list("each", "status").annotate(Count("pk")).order_by()
    ):
        found[each].counts[status] = count
    for each, made in found.items():
        notable = of_each.filter(each=each).exclude(
            status__in=(StepRun.Status.SUCCEEDED, StepRun.Status.READY)
        )
        made.notable.extend(notable.order_by("item")[:NOTABLE_ITEMS])
    return dict(found)


def _attempts(rows: Iterable[StepRun]) -> dict[int, list[Attempt]]:
    """Return the attempts of the steps that did not succeed at once."""
    at_once = (StepRun.Status.SUCCEEDED, StepRun.Status.SKIPPED)
    ids = [row.pk for row in rows if row.attempts > 1 or row.status not in at_once]
    found: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in Attempt.objects.filter(step_run__in=ids).order_by("number"):
        found[attempt.step_run_id].append(attempt)
    return {pk: tries[-ATTEMPTS:] for pk, tries in found.items()}


def _by_parent(runs: Iterable[Run]) -> dict[int, list[Run]]:
    found: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        if run.parent_id is not None:
            found[run.parent_id].append(run)
    return dict(found)
