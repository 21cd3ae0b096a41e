"""Where a token goes from each node, as the JSON that the database's functions take.

Built once for each node of a pinned plan and kept: a way depends on the plan, the run's queue, the
deployed steps' queues, and the queue (`lane`) whose message the worker has in hand.
"""

import json
from collections import Counter
from functools import lru_cache
from typing import Any

from celery import current_app

from jobs.models import Definition, StepRun
from jobs.plan import COMPENSATE, Entry, Kind, Node, Plan, Way
from jobs.registry import registry
from jobs.transitions.claims import Claim

ADMISSION = "jobs.admission"  # the node before a run's first, where its workflow has limits
WAITING_KINDS = (Kind.SLEEP, Kind.WAIT, Kind.CHILD)
# Of an `each` or a wide group, and of each queue: one request to SQS. Each worker that a message
# brings has another sent and goes on with others in place: as many go out as there are workers.
FIRST_MESSAGES = 10
CACHED_PLANS = 1_000
CACHED_WAYS = 20_000


@lru_cache(CACHED_PLANS)
def pinned_plan(definition_id: str) -> Plan:
    return Plan.from_json(Definition.objects.get(pk=definition_id).plan)


def plan_of(held: Claim) -> Plan:
    """Return the plan that the step is a node of: the pinned one, or the run's rollback."""
    if held.is_compensation and held.rollback_plan is not None:
        return Plan.from_json(held.rollback_plan)
    return pinned_plan(held.definition_id)


def node_of(held: Claim) -> Node:
    """Return the claimed step's node; of an item, its `each`."""
    return plan_of(held).node(held.each or held.node)


def way_of(held: Claim, *, skip: bool = False) -> str:
    """Return what follows the step, as JSON text; of an item, what follows its `each`."""
    name = held.each or held.node
    if held.is_compensation:
        plan = plan_of(held)
        return _way_text(plan.after(name), held.phase, held.run_queue, held.lane, plan)
    if not held.is_forward:
        return '{"entry": null, "joins": []}'
    if name == ADMISSION:
        plan = plan_of(held)
        way = Way(plan.start(_done(held)), ())
        return _way_text(way, held.phase, held.run_queue, held.lane, plan)
    if held.generation > 1:
        plan = plan_of(held)
        way = plan.after(name, skip=skip, done=_done(held))
        return _way_text(way, held.phase, held.run_queue, held.lane, plan)
    return _forward(held.definition_id, name, skip, held.run_queue, held.lane)


@lru_cache(CACHED_WAYS)
def _forward(definition_id: str, name: str, skip: bool, run_queue: str, lane: str) -> str:
    plan = pinned_plan(definition_id)
    way = plan.after(name, skip=skip)
    return _way_text(way, StepRun.Phase.FORWARD, run_queue, lane, plan)


def _waits(plan: Plan) -> bool:
    return any(node.kind in WAITING_KINDS for node in plan.nodes)


def _done(held: Claim) -> dict[str, Any]:
    """Return the outputs that a retried or forked run begins with: a token that comes to such a
    node goes past it. What the run itself completed lies behind its tokens and is met by none.
    """
    rows = StepRun.objects.filter(
        run_id=held.run_id,
        generation=held.generation,
        phase=StepRun.Phase.FORWARD,
        each=None,
        status__in=(StepRun.Status.SUCCEEDED, StepRun.Status.SKIPPED),
    )
    return dict(rows.values_list("node", "output"))


def may_end(held: Claim) -> bool:
    """Whether the plan may end with the step."""
    if held.each is not None or held.node == ADMISSION or not held.is_forward:
        return False
    way = pinned_plan(held.definition_id).after(held.node)
    return way.entry is None and not way.joins


def entry_text(entry: Entry, *, phase: str, run_queue: str) -> str:
    """Return an entry whose steps are all to be sent."""
    return json.dumps(_entry(entry, phase, run_queue, None))


def _way_text(way: Way, phase: str, run_queue: str, lane: str, plan: Plan) -> str:
    def entry(found: Entry | None) -> dict[str, Any] | None:
        return None if found is None else _entry(found, phase, run_queue, lane)

    joins = [{"name": name, "entry": entry(following)} for name, following in way.joins]
    made: dict[str, Any] = {"entry": entry(way.entry), "joins": joins, "waits": _waits(plan)}
    if joins and len(plan.nodes) > FIRST_MESSAGES:  # one of its groups may be wide
        made["lane"] = lane
    return json.dumps(made)


def _entry(entry: Entry, phase: str, run_queue: str, lane: str | None) -> dict[str, Any]:
    nodes = [_node(node, phase, run_queue) for node in entry.nodes]
    if len(nodes) > FIRST_MESSAGES:
        _leave_unsent(entry, nodes, phase, run_queue)
    made: dict[str, Any] = {
        "nodes": nodes,
        "joins": [{"name": name, "live": live} for name, live in entry.joins],
    }
    # One node and a join is what is left of a group in a retried run.
    is_one = len(entry.nodes) == 1 and not entry.joins
    if is_one and _may_run_in_place(entry.nodes[0], phase, run_queue, lane):
        made["in_place"] = True
    return made


def _leave_unsent(entry: Entry, nodes: list[dict[str, Any]], phase: str, run_queue: str) -> None:
    """Mark what is not to be sent at once: of each queue, the steps behind the first few."""
    sent: Counter[str] = Counter()
    for node, made in zip(entry.nodes, nodes, strict=True):
        queue = made["queue"]
        sent[queue] += 1
        may_wait = node.is_work and _may_run_in_place(node, phase, run_queue, queue)
        if sent[queue] > FIRST_MESSAGES and may_wait:
            made["unsent"] = True


def _node(node: Node, phase: str, run_queue: str) -> dict[str, Any]:
    is_compensation = phase == StepRun.Phase.COMPENSATION
    # The claim of an item reads what it needs; its `each` needs the list alone, and reads both.
    needs = [node.name.removesuffix(COMPENSATE)] if is_compensation else node.needs
    return {
        "node": node.name,
        "step": node.step,
        "kind": node.kind,
        "queue": queue_of(node, run_queue),
        "needs": needs if not (is_compensation and node.kind == Kind.EACH) else [],
    }


def queue_of(node: Node, run_queue: str) -> str:
    """Return the queue that the node's messages go to; the engine's own work goes to the run's."""
    if node.queue:
        return node.queue
    known = registry.steps.get(node.step) if node.kind in (Kind.STEP, Kind.EACH) else None
    return (known and known.options_.queue) or run_queue


def _may_run_in_place(node: Node, phase: str, run_queue: str, lane: str | None) -> bool:
    """Whether the worker that has a message of `lane` may go on with the node at once."""
    if lane is None:
        return False
    if not node.is_work:
        return True
    if queue_of(node, run_queue) != lane:
        return False
    name = node.step + (COMPENSATE if phase == StepRun.Phase.COMPENSATION else "")
    task = current_app.tasks.get(name)
    # Celery enforces these for each message, so such a step gets one of its own.
    limits = ("rate_limit", "time_limit", "soft_time_limit")
    return task is None or not any(getattr(task, limit, None) for limit in limits)
