"""Where a run stands: which of its outputs still count, for a retry or a fork."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from jobs.models import Run, StepRun
from jobs.plan import COMPENSATE, Kind, Plan
from jobs.registry import registry

_UNDONE = (StepRun.Status.SUCCEEDED, StepRun.Status.RESOLVED)
_DONE = (StepRun.Status.SUCCEEDED, StepRun.Status.SKIPPED)


@dataclass(frozen=True)
class Standing:
    """`done` maps nodes to the outputs that count; `rows` are the names of the step rows to keep:
    those nodes, and the items of every `each`, whether or not all of its items are done.
    """

    done: dict[str, Any]
    rows: set[str]
    has_pivot: bool = False

    @classmethod
    def of(cls, run: Run, plan: Plan) -> "Standing":
        """Return what the run completed and did not undo."""
        found = StepRun.objects.filter(run=run, generation=run.generation)
        undone = {
            node.removesuffix(COMPENSATE)
            for node in found.filter(
                phase=StepRun.Phase.COMPENSATION, status__in=_UNDONE
            ).values_list("node", flat=True)
        }
        rows = found.filter(phase=StepRun.Phase.FORWARD, status__in=_DONE).exclude(
            kind=Kind.ADMISSION
        )
        kept = [
            (node, each, output)
            for node, each, output in rows.values_list("node", "each", "output")
            if node not in undone
        ]
        done = {node: output for node, each, output in kept if each is None}
        items = [(node, each) for node, each, _ in kept if each is not None]
        counts = Counter(each for _, each in items)
        for name in [node.name for node in plan.nodes if node.kind == Kind.EACH]:
            if name in done and counts[name] < len(done[name] or ()):
                del done[name]  # items of it were undone
        _drop_stale(plan, done)
        whole = {node for node, each in items if each in done or _is_stable(plan, each, done)}
        names = set(done) | whole
        return cls(done, names, any(_is_pivot(plan, name) for name in done))

    def before(self, wanted: str, node: str, plan: Plan) -> "Standing":
        """Return what of it comes before the wanted node; of an item, all but this item."""
        gone = plan.behind(node) | {node}
        done = {name: output for name, output in self.done.items() if name not in gone}
        names = {
            row
            for row in self.rows
            if row in done or ("[" in row and row.partition("[")[0] not in gone)
        }
        if wanted != node:
            names |= {row for row in self.rows if row.startswith(f"{node}[")} - {wanted}
        return replace(self, done=done, rows=names)


def _drop_stale(plan: Plan, done: dict[str, Any]) -> None:
    """Forget what the engine worked out from outputs that will be made again."""
    own = (Kind.TRANSFORM, Kind.WHEN)
    for node in plan.nodes:  # in the plan's order: what a node needs comes before it
        if node.kind in own and node.name in done and not done.keys() >= set(node.needs):
            del done[node.name]


def _is_stable(plan: Plan, each: str, done: dict[str, Any]) -> bool:
    return done.keys() >= set(plan.node(each).needs)


def _is_pivot(plan: Plan, name: str) -> bool:
    known = registry.steps.get(plan.node(name).step) if name in plan.names else None
    return known is not None and known.options_.pivot
