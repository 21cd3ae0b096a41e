"""A plan as the Celery canvas that it is written in: chains, groups and chords of signatures."""

from typing import Any

from celery import chain, group
from celery.canvas import Signature, signature

from jobs.plan import Chain, Group, Node, Plan

BARRIER = "jobs.barrier"
NODE_HEADER = "counterpoint_node"


def to_canvas(plan: Plan, *, queue: str) -> Signature:
    """Return the canvas; signatures are immutable and carry their inputs as expressions.

    Celery turns a group with something after it into a chord. Between two groups in a row stands
    `jobs.barrier`, because a chord's body must be one signature.
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
    return signature(item.step, kwargs=dict(item.inputs), immutable=True, options=options)
