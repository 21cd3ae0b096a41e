"""A plan as the Celery canvas that it is written in: chains, groups and chords of signatures."""

from typing import Any

from celery import chain, group
from celery.canvas import Signature, signature

from jobs.plan import Chain, Group, Kind, Node, Plan

BARRIER = "jobs.barrier"
NODE_HEADER = "counterpoint_node"
# What is no task of an author's stands in the canvas as one of the platform's.
KIND_TASKS = {
    Kind.TRANSFORM: "jobs.transform",
    Kind.WHEN: "jobs.when",
    Kind.SLEEP: "jobs.sleep",
    Kind.WAIT: "jobs.wait",
    Kind.CHILD: "jobs.child",
    Kind.EACH: "jobs.each",
}
OWN_TASKS = frozenset(
    {BARRIER, "jobs.admission", "jobs.task", "jobs.fire_schedule", *KIND_TASKS.values()}
)


def to_canvas(plan: Plan, *, queue: str) -> Signature:
    """Return the canvas; signatures are immutable and carry their inputs as expressions.

    Celery turns a group with something after it into a chord. Between two groups in a row stands
    `jobs.barrier`, because a chord's body must be one signature. What a `when` guards follows it,
    `span` items long.
    """
    return _chain(plan.body, queue)


def _chain(items: Chain, queue: str) -> Signature:
    parts: list[Signature] = []
    previous: Node | Group | None = None
    for item in items.items:
        if isinstance(item, Group) and isinstance(previous, Group):
            parts.append(signature(BARRIER, immutable=True, queue=queue))
        parts.append(_group(item, queue) if isinstance(item, Group) else _node(item, queue))
        previous = item
    return parts[0] if len(parts) == 1 else chain(*parts)


def _group(item: Group, queue: str) -> Signature:
    return group(*[_chain(branch, queue) for branch in item.branches])


def _node(item: Node, queue: str) -> Signature:
    options: dict[str, Any] = {"queue": item.queue or queue, "headers": {NODE_HEADER: item.name}}
    if item.kind == Kind.TASK:
        return signature(
            item.step,
            args=tuple(item.inputs["args"].get("$list", [item.inputs["args"]])),
            kwargs=dict(item.inputs["kwargs"].get("$dict", {})),
            immutable=True,
            options=options,
        )
    if item.kind not in KIND_TASKS:
        return signature(item.step, kwargs=dict(item.inputs), immutable=True, options=options)
    return signature(
        KIND_TASKS[Kind(item.kind)], kwargs=_particulars(item), immutable=True, options=options
    )


def _particulars(item: Node) -> dict[str, Any]:
    """Return what the node does: of what, with which inputs, and how."""
    found: dict[str, Any] = {"inputs": dict(item.inputs), **item.extra}
    found.pop("types", None)
    if item.step:
        found["of"] = item.step
    if item.span:
        found["span"] = item.span
    return found
