"""Which workflows a workflow starts, and whether it is among them."""

from collections.abc import Iterator

from jobs.plan import Chain, Kind, Node
from jobs.registry import registry


def nodes_in(chain: Chain) -> Iterator[Node]:
    """Yield the chain's nodes, those in groups too; hooks among them."""
    for item in chain.items:
        if isinstance(item, Node):
            yield item
        else:
            for branch in item.branches:
                yield from nodes_in(branch)


def children_of(workflow: str, body: Chain) -> set[str]:
    """Return the workflows that this one calls, those attached to its hooks among them."""
    found = {
        node.step
        for node in nodes_in(body)
        if node.kind == Kind.CHILD or node.extra.get("body") == Kind.CHILD
    }
    attached = {one.target.name for one in registry.attached_to(workflow).values()}
    return found | (attached & registry.workflows.keys())


def calls_itself(workflow: str, body: Chain) -> list[str] | None:
    """Return the way on which the workflow would start itself, as names; None if there is none."""
    ways = [[workflow, child] for child in sorted(children_of(workflow, body))]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        last = way[-1]
        if last == workflow:
            return way
        if last not in seen and last in registry.workflows:
            seen.add(last)
            inner = registry.workflows[last].reading.body
            ways += [[*way, child] for child in sorted(children_of(last, inner))]
    return None
