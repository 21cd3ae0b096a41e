"""A workflow's structure as data: a chain of nodes and groups, and what follows each of them.

The engine walks this tree by tokens. A chain holds one token; entering a group puts one in each
branch and a join that counts them; a branch that ends gives its token back, and whoever brings the
count to zero goes on behind the group. The rollback is a plan too: the mirror image, walked the
same way.

Stored as JSON: a node is `{"node", "step", "inputs", "queue"}`, a group `{"group", "branches"}`, a
chain a list of both. Values inside are expressions: `{"$ref": node, "path": […]}`, `{"$input":
parameter, "path": […]}`, `{"$list": […]}`, `{"$dict": {…}}` or `{"$value": json}`.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

Expression = dict[str, Any]
COMPENSATE = ".compensate"


@dataclass(frozen=True)
class Node:
    """One call of a step; `inputs` maps its parameters to expressions, `queue` None means the
    workflow's.
    """

    name: str
    step: str
    inputs: Mapping[str, Expression] = field(default_factory=dict)
    queue: str | None = None

    @property
    def needs(self) -> list[str]:
        """The nodes whose outputs the inputs use."""
        return sorted({name for value in self.inputs.values() for name in references(value)})


@dataclass(frozen=True)
class Group:
    """Branches side by side; none of them is empty."""

    name: str
    branches: tuple["Chain", ...]


@dataclass(frozen=True)
class Chain:
    """Nodes and groups one after the other."""

    items: tuple[Node | Group, ...]


@dataclass(frozen=True)
class Entry:
    """What becomes ready at once: first nodes, and the joins of the groups entered with their
    counts.
    """

    nodes: tuple[Node, ...]
    joins: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class BranchEnd:
    """The token goes back to the join of this group."""

    group: str


@dataclass(frozen=True)
class PlanEnd:
    """Nothing follows: the run's forward or backward way is at its end."""


@dataclass(frozen=True)
class _Place:
    item: Node | Group
    chain: Chain
    index: int
    group: str | None


@dataclass(frozen=True)
class Plan:
    """A whole workflow: its chain, and the expression of its output."""

    body: Chain
    output: Expression = field(default_factory=lambda: {"$value": None})

    @cached_property
    def _places(self) -> dict[str, _Place]:
        return dict(_walk(self.body, None))

    @property
    def nodes(self) -> list[Node]:
        return [place.item for place in self._places.values() if isinstance(place.item, Node)]

    def node(self, name: str) -> Node:
        item = self._places[name].item
        assert isinstance(item, Node)  # noqa: S101 - names of nodes and groups never meet
        return item

    def start(self) -> Entry | PlanEnd:
        """Return what is ready when the plan begins; `PlanEnd` for a plan of nothing."""
        return _enter(self.body.items[0]) if self.body.items else PlanEnd()

    def after(self, name: str) -> Entry | BranchEnd | PlanEnd:
        """Return what follows the node or group of that name."""
        place = self._places[name]
        if place.index + 1 < len(place.chain.items):
            return _enter(place.chain.items[place.index + 1])
        return self.parent(name)

    def parent(self, name: str) -> BranchEnd | PlanEnd:
        """Return where the token of the item's chain goes when nothing more in it is to run."""
        group = self._places[name].group
        return PlanEnd() if group is None else BranchEnd(group)

    def mirror(self, wanted: Collection[str]) -> "Plan":
        """Return the rollback: the wanted nodes' compensations in mirror order."""

        def turn(chain: Chain) -> Chain:
            items = [turned for item in reversed(chain.items) for turned in turn_item(item)]
            return Chain(tuple(items))

        def turn_item(item: Node | Group) -> tuple[Node | Group, ...]:
            if isinstance(item, Node):
                if item.name not in wanted:
                    return ()
                return (Node(item.name + COMPENSATE, item.step, queue=item.queue),)
            branches = tuple(made for branch in item.branches if (made := turn(branch)).items)
            if len(branches) < 2:  # a group of one is its branch
                return branches[0].items if branches else ()
            return (Group(item.name + COMPENSATE, branches),)

        return Plan(turn(self.body))

    def to_json(self) -> dict[str, Any]:
        return {"body": _chain_to_json(self.body), "output": self.output}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Plan":
        return cls(_chain_from_json(data["body"]), data["output"])

    @property
    def hash(self) -> str:
        """The SHA-256 of the canonical JSON: equal structures share one definition."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _walk(chain: Chain, group: str | None) -> Iterator[tuple[str, _Place]]:
    for index, item in enumerate(chain.items):
        yield item.name, _Place(item, chain, index, group)
        if isinstance(item, Group):
            for branch in item.branches:
                yield from _walk(branch, item.name)


def _enter(item: Node | Group) -> Entry:
    if isinstance(item, Node):
        return Entry((item,))
    entries = [_enter(branch.items[0]) for branch in item.branches]
    nodes = tuple(node for entry in entries for node in entry.nodes)
    inner = tuple(join for entry in entries for join in entry.joins)
    return Entry(nodes, ((item.name, len(item.branches)), *inner))


def _chain_to_json(chain: Chain) -> list[dict[str, Any]]:
    return [
        {"node": item.name, "step": item.step, "inputs": dict(item.inputs), "queue": item.queue}
        if isinstance(item, Node)
        else {"group": item.name, "branches": [_chain_to_json(branch) for branch in item.branches]}
        for item in chain.items
    ]


def _chain_from_json(data: list[dict[str, Any]]) -> Chain:
    return Chain(
        tuple(
            Node(item["node"], item["step"], item["inputs"], item["queue"])
            if "node" in item
            else Group(
                item["group"], tuple(_chain_from_json(branch) for branch in item["branches"])
            )
            for item in data
        )
    )


def references(expression: Expression) -> Iterator[str]:
    """Yield the nodes that an expression uses."""
    if "$ref" in expression:
        yield expression["$ref"]
    for child in expression.get("$list", ()):
        yield from references(child)
    for child in expression.get("$dict", {}).values():
        yield from references(child)


def evaluate(
    expression: Expression, *, output: Callable[[str], Any], inputs: Mapping[str, Any]
) -> Any:
    """Return the expression's JSON value; `output` looks a node's up, `inputs` is the run's."""
    if "$value" in expression:
        return expression["$value"]
    if "$list" in expression:
        return [evaluate(child, output=output, inputs=inputs) for child in expression["$list"]]
    if "$dict" in expression:
        return {
            key: evaluate(child, output=output, inputs=inputs)
            for key, child in expression["$dict"].items()
        }
    value = output(expression["$ref"]) if "$ref" in expression else inputs[expression["$input"]]
    for key in expression["path"]:
        value = None if value is None else value[key]
    return value
