"""A token on its way through a run's plan: what becomes ready, what it joins, how the run ends.

Called inside the transaction that records a step's outcome, so that the two commit together.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings

from jobs import transitions
from jobs.dispatch import WakeUp
from jobs.errors import InvalidInput, InvalidOutput
from jobs.models import Definition, Run, StepRun
from jobs.plan import COMPENSATE, Entry, Plan, Way, evaluate, references
from jobs.registry import registry
from jobs.transitions import Claim, NewStep
from jobs.values import error_json, to_json

log = structlog.get_logger(__name__)


@cache
def pinned_plan(definition_id: str) -> Plan:
    return Plan.from_json(Definition.objects.get(pk=definition_id).plan)


@dataclass(frozen=True)
class Walk:
    """One token, forwards or backwards; the methods return the wake-ups to send after commit."""

    run_id: UUID
    generation: int
    workflow: str
    queue: str
    plan: Plan
    input: dict[str, Any]
    phase: str = StepRun.Phase.FORWARD

    @classmethod
    def of(cls, held: Claim) -> "Walk":
        plan = (
            Plan.from_json(held.rollback_plan)
            if held.rollback_plan is not None
            else pinned_plan(held.definition_id)
        )
        return cls(
            held.run_id, held.generation, held.workflow, held.queue, plan, held.input, held.phase
        )

    @property
    def is_forward(self) -> bool:
        return self.phase == StepRun.Phase.FORWARD

    def enter(self, entry: Entry) -> list[WakeUp]:
        steps = []
        for node in entry.nodes:
            known = registry.steps.get(node.step)
            queue = node.queue or (known and known.options_.queue) or self.queue
            needs = node.needs if self.is_forward else [node.name.removesuffix(COMPENSATE)]
            steps.append(NewStep(node.name, node.step, queue, needs))
        return transitions.enter(
            self.run_id,
            self.generation,
            phase=self.phase,
            steps=steps,
            joins=entry.joins,
            resend=settings.JOBS_RESEND_AFTER,
        )

    def go_on_after(self, name: str) -> list[WakeUp]:
        """Move the token past a node that ended well, as far as it goes."""
        return self._move(self.plan.after(name))

    def die_at(self, name: str) -> list[WakeUp]:
        """Give the token back: nothing behind the node is to run."""
        return self._move(self.plan.after(name).without_entry())

    def _move(self, way: Way) -> list[WakeUp]:
        if way.entry is not None:
            return self.enter(way.entry)
        for group, following in way.joins:
            if transitions.leave_branch(self.run_id, self.generation, group):
                return []
            # The lock on the join was waited for, so a fresh statement sees what the siblings did.
            stopping = self.is_forward and transitions.is_stopping(self.run_id)
            if following is not None and not stopping:
                return self.enter(following)
        return self._end_forward() if self.is_forward else self._end_rollback()

    def _end_forward(self) -> list[WakeUp]:
        if not transitions.is_stopping(self.run_id):
            try:
                output = self._output()
            except (InvalidInput, InvalidOutput) as error:
                details = error_json(type(error).__name__, str(error), None)
                transitions.stop(self.run_id, why=Run.Stop.FAILED, error=details)
            else:
                if transitions.finish_forward(self.run_id, output=output):
                    log.info("run_succeeded", run_id=str(self.run_id), workflow=self.workflow)
                    return []
        return self._begin_rollback()

    def _output(self) -> str:
        wanted = set(references(self.plan.output))
        rows = StepRun.objects.filter(
            run_id=self.run_id, generation=self.generation, node__in=wanted
        )
        outputs = dict(rows.values_list("node", "output"))
        value = evaluate(self.plan.output, output=outputs.__getitem__, inputs=self.input)
        what = f"result of {self.workflow}"
        known = registry.workflows.get(self.workflow)
        if known is not None:
            known.output.decode(value, what=what)
        return to_json(value, what=what)

    def _begin_rollback(self) -> list[WakeUp]:
        rows = StepRun.objects.filter(
            run_id=self.run_id, generation=self.generation, phase=StepRun.Phase.FORWARD
        )
        wanted = {row.node for row in rows if _is_to_be_undone(row)}
        plan = self.plan.mirror(wanted)
        if not transitions.begin_rollback(self.run_id, plan=plan.to_json()):
            return []
        back = replace(self, plan=plan, phase=StepRun.Phase.COMPENSATION)
        entry = plan.start()
        if entry is not None:
            return back.enter(entry)
        transitions.finish_stopped(self.run_id, rollback=Run.Rollback.NOT_NEEDED)
        return []

    def _end_rollback(self) -> list[WakeUp]:
        left_over = StepRun.objects.filter(
            run_id=self.run_id,
            generation=self.generation,
            phase=StepRun.Phase.COMPENSATION,
            status=StepRun.Status.FAILED,
        ).exists()
        rollback = Run.Rollback.INCOMPLETE if left_over else Run.Rollback.COMPLETE
        transitions.finish_stopped(self.run_id, rollback=rollback)
        log.info(
            "run_rolled_back", run_id=str(self.run_id), workflow=self.workflow, rollback=rollback
        )
        return []


def _is_to_be_undone(row: StepRun) -> bool:
    """A completed step with a compensation; a failed or stopped one only if it left undo data."""
    known = registry.steps.get(row.step)
    if known is not None and known.compensation_ is None:
        # a step that the deployed code does not know is kept: better asked about than lost
        return False
    if row.status == StepRun.Status.SUCCEEDED:
        return True
    return row.status != StepRun.Status.SKIPPED and row.undo is not None
