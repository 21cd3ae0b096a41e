"""Random structures of workflows, the same in every process that knows the seed; pure.

A new kind of step is a word in `KINDS` and a step in `app/workflows.py`. A new construct is a class
that yields its calls, a branch in `app/tracing.py` that traces it, and a line in `MAKERS`.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from tests.faults.seeds import rng

WORKFLOWS = 8
DEEPEST = 2
MOST_CALLS = 8

# The kinds of steps that app/workflows.py defines, and how often one is drawn against another.
KINDS = {"plain": 3, "undoable": 5, "far": 3, "atomic": 3, "continuing": 2, "limited": 2}
COMPENSATED = frozenset({"undoable", "far", "atomic", "continuing"})
LISTER = "lister"
EACH = "each"
LIMIT = 2  # of the limited steps that run at once, over all workers
SLEEP_SECONDS = 1

Place = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One node: a step of this kind that is given the outputs of the nodes in `uses`. Of an `each`,
    `items_from` is the node whose output is the list. `guards` are the nodes whose outputs decide
    whether it runs at all.
    """

    node: str
    kind: str
    uses: tuple[str, ...] = ()
    items_from: str = ""
    max_parallel: int = 0
    guards: tuple[str, ...] = ()

    @property
    def is_compensated(self) -> bool:
        return self.kind in COMPENSATED or self.kind == EACH


@dataclass(frozen=True)
class Parallel:
    """Branches side by side."""

    branches: tuple["Sequence", ...]


@dataclass(frozen=True)
class Guarded:
    """A block that runs if the predicate of the guard's output holds."""

    guard: str
    body: "Sequence"


@dataclass(frozen=True)
class Pause:
    """A durable sleep."""


@dataclass(frozen=True)
class Meeting:
    """A wait for an event that somebody sends to every other run."""


Item = Call | Parallel | Guarded | Pause | Meeting


@dataclass(frozen=True)
class Sequence:
    """Items one after the other."""

    items: tuple[Item, ...]

    def places(self, before: Place = ()) -> Iterator[tuple[Place, Call]]:
        """Yield the calls with their places: index in the chain, branch, index, branch, …"""
        for index, item in enumerate(self.items):
            match item:
                case Call():
                    yield (*before, index), item
                case Parallel():
                    for branch, sequence in enumerate(item.branches):
                        yield from sequence.places((*before, index, branch))
                case Guarded():
                    yield from item.body.places((*before, index, 0))


@dataclass(frozen=True)
class Shape:
    """A whole workflow of the seed; its output is the list of `results`."""

    name: str
    body: Sequence
    results: tuple[str, ...]
    _places: dict[str, Place] = field(default_factory=dict, compare=False)

    @property
    def calls(self) -> list[Call]:
        return [call for _, call in self.body.places()]

    def call(self, node: str) -> Call:
        """Return the call of a node, of an item of an `each`, or of a compensation."""
        return next(call for call in self.calls if call.node == base(node))

    def precedes(self, first: str, second: str) -> bool:
        """Say whether `second` may start only after `first` has ended."""
        if not self._places:
            self._places.update({call.node: place for place, call in self.body.places()})
        pairs = zip(self._places[base(first)], self._places[base(second)], strict=False)
        for depth, (one, other) in enumerate(pairs):
            if one != other:
                return depth % 2 == 0 and one < other
        return False

    def __str__(self) -> str:
        return f"{self.name}: {_text(self.body)} -> {', '.join(self.results)}"


def base(node: str) -> str:
    """Return the node in the plan: of `n5[2]` and of `n5.compensate` it is `n5`."""
    return node.partition(".")[0].partition("[")[0]


def _text(item: Item | Sequence) -> str:
    match item:
        case Call():
            items = f" of {item.items_from} by {item.max_parallel}" if item.items_from else ""
            return f"{item.node}:{item.kind}({','.join(item.uses)}){items}"
        case Parallel():
            return "[" + " | ".join(map(_text, item.branches)) + "]"
        case Guarded():
            return f"when {item.guard} {{{_text(item.body)}}}"
        case Sequence():
            return " ; ".join(map(_text, item.items))
        case _:
            return type(item).__name__.lower()


class _Maker:
    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.count = 0
        self.guards: tuple[str, ...] = ()

    def sequence(self, known: list[str], depth: int) -> tuple[Sequence, list[str]]:
        """Return a sequence and what is known behind it."""
        items: list[Item] = []
        known = list(known)
        for _ in range(self.draw.randint(1, 4 if depth == 0 else 2)):
            maker: Maker = self.draw.choices(list(MAKERS), list(MAKERS.values()))[0]
            deep = depth >= DEEPEST or self.count >= MOST_CALLS
            made, nodes = (_Maker.call if deep else maker)(self, known, depth)
            items += made
            known += nodes
        return Sequence(tuple(items)), known

    def call(self, known: list[str], depth: int) -> "Made":
        kind = self.draw.choices(list(KINDS), list(KINDS.values()))[0]
        made = self._node(kind, known)
        return [made], [made.node]

    def parallel(self, known: list[str], depth: int) -> "Made":
        branches, made = [], []
        for _ in range(self.draw.randint(2, 3)):
            branch, after = self.sequence(known, depth + 1)
            branches.append(branch)
            made += after[len(known) :]
        return [Parallel(tuple(branches))], made

    def each(self, known: list[str], depth: int) -> "Made":
        lister = self._node(LISTER, known)
        most = self.draw.choice((1, 2, 100))
        made = self._node(EACH, known, items_from=lister.node, max_parallel=most)
        return [lister, made], [made.node]

    def guarded(self, known: list[str], depth: int) -> "Made":
        if not known:
            return self.call(known, depth)
        outer, guard = self.guards, self.draw.choice(known)
        self.guards = (*outer, guard)
        body, after = self.sequence(known, depth + 1)
        self.guards = outer
        return [Guarded(guard, body)], after[len(known) :]

    def pause(self, known: list[str], depth: int) -> "Made":
        return [Pause()], []

    def meeting(self, known: list[str], depth: int) -> "Made":
        return [Meeting()], []

    def _node(
        self, kind: str, known: list[str], *, items_from: str = "", max_parallel: int = 0
    ) -> Call:
        self.count += 1
        uses = self.draw.sample(known, min(len(known), self.draw.randint(0, 3)))
        if known and known[-1] not in uses and self.draw.random() < 0.7:
            uses.append(known[-1])
        node = f"n{self.count}"
        return Call(node, kind, tuple(uses), items_from, max_parallel, self.guards)


Made = tuple[list[Item], list[str]]
Maker = Callable[[_Maker, list[str], int], Made]
MAKERS: dict[Maker, int] = {
    _Maker.call: 10,
    _Maker.parallel: 5,
    _Maker.each: 2,
    _Maker.guarded: 2,
    _Maker.pause: 1,
    _Maker.meeting: 1,
}


@cache
def shape(seed: int, index: int) -> Shape:
    """Return the seed's workflow of that index; it begins with a step."""
    draw = rng(seed, "shape", index)
    maker = _Maker(draw)
    (first, *_), known = maker.call([], 0)
    body, known = maker.sequence(known, 0)
    results = draw.sample(known, min(len(known), 3))
    return Shape(f"faults/{index}", Sequence((first, *body.items)), tuple(results))


def shape_of_run(seed: int, number: int) -> Shape:
    """Return the workflow that the seed's run of that number belongs to."""
    return shape(seed, number % WORKFLOWS)
