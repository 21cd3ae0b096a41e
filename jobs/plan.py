"""A workflow's structure as data: a chain of nodes and groups, and what follows each of them.

The engine walks this tree by tokens. A chain holds one token; entering a group puts one in each
branch and a join that counts them; a branch that ends gives its token back, and whoever brings the
count to zero goes on behind the group. The rollback is a plan too: the mirror image, walked the
same way.

Stored as JSON: a node is `{"node", "step", "inputs", "queue"}` and, where they differ from a plain
step's, `"kind"`, `"span"` and `"extra"`; a group is `{"group", "branches"}`, a chain a list of
both. Values inside are expressions: `{"$ref": node, "path": […]}`, `{"$input": parameter, "path":
[…]}`, `{"$list": […]}`, `{"$concat": [lists…]}`, `{"$dict": {…}}` or `{"$value": json}`.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

from jobs.errors import InvalidInput

Expression = dict[str, Any]
COMPENSATE = ".compensate"


class Kind(StrEnum):
    """What a node is; all but the first two are the engine's own work and no Celery task."""

    STEP = "step"  # `step` names it; `inputs` by parameter
    TASK = "task"  # an ordinary Celery task; `inputs` are "args" and "kwargs"
    TRANSFORM = "transform"  # `step` is the function's address; `inputs` "0", "1", … by position
    WHEN = "when"  # `step` is the predicate's address; `inputs` "value"; guards `span` items
    SLEEP = "sleep"  # `inputs` "seconds" (a number) or "until" (an ISO 8601 moment)
    WAIT = "wait"  # `step` is the event's type; `inputs` "match"; extra "timeout" in seconds
    CHILD = "child"  # `step` is a workflow's name; `inputs` by parameter
    EACH = "each"  # `step` per item; `inputs` "items", others by parameter; extra below
    ADMISSION = "admission"  # before the first node, where the workflow has limits; not in plans
    # of EACH: "item" the parameter that takes the item, "max_parallel", "body" the item's kind


@dataclass(frozen=True)
class Node:
    """One place in the plan; `inputs` maps parameters to expressions, `queue` None means the
    workflow's.
    """

    name: str
    step: str
    inputs: Mapping[str, Expression] = field(default_factory=dict)
    queue: str | None = None
    kind: str = Kind.STEP
    span: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def needs(self) -> list[str]:
        """The nodes whose outputs the inputs use."""
        return sorted({name for value in self.inputs.values() for name in references(value)})

    @property
    def is_work(self) -> bool:
        """Whether authors' code runs in it, with attempts, as a Celery task."""
        return self.kind in (Kind.STEP, Kind.TASK)


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
class _Place:
    item: Node | Group
    chain: Chain
    index: int
    group: str | None


@dataclass(frozen=True)
class Way:
    """Where a token goes: into `entry`, or, where that is None, to its group's join.

    `joins` are the groups around it, from the inside out, each with what follows it in its chain
    (None: nothing, the token goes on to the next join). Behind the last one is the plan's end.
    """

    entry: Entry | None
    joins: tuple[tuple[str, Entry | None], ...]

    def without_entry(self) -> "Way":
        """Return the way of a token behind which nothing is to run."""
        return Way(None, self.joins)


@dataclass(frozen=True)
class Plan:
    """A whole workflow: its chain, and the expression of its output."""

    body: Chain
    output: Expression = field(default_factory=lambda: {"$value": None})

    @cached_property
    def _places(self) -> dict[str, _Place]:
        return dict(_walk(self.body, None))

    @cached_property
    def _ways(self) -> dict[tuple[str, bool], Way]:
        return {}

    @property
    def nodes(self) -> list[Node]:
        return [place.item for place in self._places.values() if isinstance(place.item, Node)]

    @property
    def names(self) -> frozenset[str]:
        """The names of all nodes and groups."""
        return frozenset(self._places)

    def node(self, name: str) -> Node:
        item = self._places[name].item
        assert isinstance(item, Node)  # noqa: S101 - names of nodes and groups never meet
        return item

    def start(self, done: Mapping[str, Any] | None = None) -> Entry | None:
        """Return what is ready when the plan begins; None for a plan with nothing to do.

        `done` holds the outputs of nodes that need not run again (a retried or forked run): the
        tokens stand where these end. Of a `when` the output says whether its items are to run.
        """
        return _enter(self.body, 0, done or {})

    def after(self, name: str, *, skip: bool = False, done: Mapping[str, Any] | None = None) -> Way:
        """Return what follows the node of that name; `skip` jumps over what a `when` guards, and
        `done` is as in `start`.
        """
        if done:
            return self._after(name, skip=skip, done=done)
        if (name, skip) not in self._ways:
            self._ways[name, skip] = self._after(name, skip=skip, done={})
        return self._ways[name, skip]

    def _after(self, name: str, *, skip: bool, done: Mapping[str, Any]) -> Way:
        place = self._places[name]
        span = place.item.span if skip and isinstance(place.item, Node) else 0
        entry = _enter(place.chain, place.index + 1 + span, done)
        joins = []
        while place.group is not None:
            group, place = place.group, self._places[place.group]
            joins.append((group, _enter(place.chain, place.index + 1, done)))
        return Way(entry, tuple(joins))

    def behind(self, name: str) -> set[str]:
        """Return the nodes that run only after this one: those behind it in its chain and behind
        the groups around it.
        """
        found: set[str] = set()
        place: _Place | None = self._places[name]
        while place is not None:
            rest = Chain(place.chain.items[place.index + 1 :])
            found |= {inner for inner, _ in _walk(rest, None)}
            place = None if place.group is None else self._places[place.group]
        return {inner for inner in found if isinstance(self._places[inner].item, Node)}

    def mirror(self, wanted: Collection[str]) -> "Plan":
        """Return the rollback: the wanted nodes' compensations in mirror order."""

        def turn(chain: Chain) -> Chain:
            items = [turned for item in reversed(chain.items) for turned in turn_item(item)]
            return Chain(tuple(items))

        def turn_item(item: Node | Group) -> tuple[Node | Group, ...]:
            if isinstance(item, Node):
                if item.name not in wanted:
                    return ()
                name = item.name + COMPENSATE
                return (Node(name, item.step, {}, item.queue, item.kind, 0, item.extra),)
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

    @cached_property
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


def _enter(chain: Chain, index: int, done: Mapping[str, Any]) -> Entry | None:
    while index < len(chain.items):
        item = chain.items[index]
        index += 1
        if isinstance(item, Group):
            if (entry := _enter_group(item, done)) is not None:
                return entry
        elif item.name not in done:
            return Entry((item,))
        elif item.kind == Kind.WHEN and not done[item.name]:
            index += item.span
    return None


def _enter_group(group: Group, done: Mapping[str, Any]) -> Entry | None:
    entries = [entry for branch in group.branches if (entry := _enter(branch, 0, done))]
    if not entries:
        return None
    nodes = tuple(node for entry in entries for node in entry.nodes)
    inner = tuple(join for entry in entries for join in entry.joins)
    return Entry(nodes, ((group.name, len(entries)), *inner))


def _chain_to_json(chain: Chain) -> list[dict[str, Any]]:
    return [
        _node_to_json(item)
        if isinstance(item, Node)
        else {"group": item.name, "branches": [_chain_to_json(branch) for branch in item.branches]}
        for item in chain.items
    ]


def _node_to_json(node: Node) -> dict[str, Any]:
    data: dict[str, Any] = {
        "node": node.name,
        "step": node.step,
        "inputs": dict(node.inputs),
        "queue": node.queue,
    }
    if node.kind != Kind.STEP:
        data["kind"] = str(node.kind)
    if node.span:
        data["span"] = node.span
    if node.extra:
        data["extra"] = dict(node.extra)
    return data


def _chain_from_json(data: list[dict[str, Any]]) -> Chain:
    return Chain(
        tuple(
            _node_from_json(item)
            if "node" in item
            else Group(
                item["group"], tuple(_chain_from_json(branch) for branch in item["branches"])
            )
            for item in data
        )
    )


def _node_from_json(data: dict[str, Any]) -> Node:
    return Node(
        data["node"],
        data["step"],
        data["inputs"],
        data["queue"],
        data.get("kind", Kind.STEP),
        data.get("span", 0),
        data.get("extra", {}),
    )


def references(expression: Expression) -> Iterator[str]:
    """Yield the nodes that an expression uses."""
    if "$ref" in expression:
        yield expression["$ref"]
    for child in (*expression.get("$list", ()), *expression.get("$concat", ())):
        yield from references(child)
    for child in expression.get("$dict", {}).values():
        yield from references(child)


def evaluate(
    expression: Expression, *, output: Callable[[str], Any], inputs: Mapping[str, Any]
) -> Any:
    """Return the expression's JSON value; `output` looks a node's up, `inputs` is the run's.

    Raises `InvalidInput` where a value does not have the part that is named; of None all are None.
    """
    if "$value" in expression:
        return expression["$value"]
    if "$list" in expression:
        return [evaluate(child, output=output, inputs=inputs) for child in expression["$list"]]
    if "$concat" in expression:
        parts = [evaluate(part, output=output, inputs=inputs) for part in expression["$concat"]]
        return [item for part in parts for item in part]
    if "$dict" in expression:
        return {
            key: evaluate(child, output=output, inputs=inputs)
            for key, child in expression["$dict"].items()
        }
    value = output(expression["$ref"]) if "$ref" in expression else inputs[expression["$input"]]
    for key in expression["path"]:
        value = None if value is None else _part(value, key, expression)
    return value


def _part(value: Any, key: str | int, expression: Expression) -> Any:
    try:
        return value[key]
    except (LookupError, TypeError) as error:
        source = expression.get("$ref") or f"input {expression.get('$input')}"
        path = "".join(f"[{step!r}]" for step in expression["path"])
        message = f"{source}{path}: its value has no {key!r}, it is {value!r:.80}"
        raise InvalidInput(source, [{"loc": (), "msg": message, "type": "path"}]) from error
