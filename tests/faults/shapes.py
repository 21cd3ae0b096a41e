"""Random structures of workflows, the same in every process that knows the seed; pure.

A new construct is a class with `calls` (and `places`, if it holds others), a branch in
`app/workflows.py` that traces it, and a line in `MAKERS`.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

from tests.faults.seeds import rng

WORKFLOWS = 6
DEEPEST = 3
MOST_CALLS = 9

# The kinds of steps that app/workflows.py defines; the first has no compensation.
KINDS = ("plain", "undoable", "undoable", "far")
COMPENSATED = frozenset({"undoable", "far"})

Place = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One node: a step of this kind that is given the outputs of the nodes in `uses`."""

    node: str
    kind: str
    uses: tuple[str, ...] = ()

    @property
    def is_compensated(self) -> bool:
        return self.kind in COMPENSATED


@dataclass(frozen=True)
class Parallel:
    """Branches side by side."""

    branches: tuple["Sequence", ...]


@dataclass(frozen=True)
class Sequence:
    """Items one after the other."""

    items: tuple["Call | Parallel", ...]

    def places(self, before: Place = ()) -> Iterator[tuple[Place, Call]]:
        """Yield the calls with their places: index in the chain, branch, index, branch, …"""
        for index, item in enumerate(self.items):
            if isinstance(item, Call):
                yield (*before, index), item
                continue
            for branch, sequence in enumerate(item.branches):
                yield from sequence.places((*before, index, branch))


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
        return next(call for call in self.calls if call.node == node)

    def precedes(self, first: str, second: str) -> bool:
        """Say whether `second` may start only after `first` has ended."""
        if not self._places:
            self._places.update({call.node: place for place, call in self.body.places()})
        pairs = zip(self._places[first], self._places[second], strict=False)
        for depth, (one, other) in enumerate(pairs):
            if one != other:
                return depth % 2 == 0 and one < other
        return False

    def __str__(self) -> str:
        return f"{self.name}: {_text(self.body)} -> {', '.join(self.results)}"


def _text(item: Call | Parallel | Sequence) -> str:
    if isinstance(item, Call):
        return f"{item.node}:{item.kind}({','.join(item.uses)})"
    if isinstance(item, Parallel):
        return "[" + " | ".join(map(_text, item.branches)) + "]"
    return " ; ".join(map(_text, item.items))


class _Maker:
    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.count = 0

    def sequence(self, known: list[str], depth: int) -> tuple[Sequence, list[str]]:
        """Return a sequence and what is known behind it."""
        items: list[Call | Parallel] = []
        known = list(known)
        for _ in range(self.draw.randint(1, 4 if depth == 0 else 2)):
            maker: Maker = self.draw.choices(list(MAKERS), list(MAKERS.values()))[0]
            deep = depth >= DEEPEST or self.count >= MOST_CALLS
            item, made = (_Maker.call if deep else maker)(self, known, depth)
            items.append(item)
            known += made
        return Sequence(tuple(items)), known

    def call(self, known: list[str], depth: int) -> tuple[Call, list[str]]:
        self.count += 1
        uses = self.draw.sample(known, min(len(known), self.draw.randint(0, 3)))
        if known and known[-1] not in uses and self.draw.random() < 0.7:
            uses.append(known[-1])
        made = Call(f"n{self.count}", self.draw.choice(KINDS), tuple(uses))
        return made, [made.node]

    def parallel(self, known: list[str], depth: int) -> tuple[Parallel, list[str]]:
        branches, made = [], []
        for _ in range(self.draw.randint(2, 3)):
            branch, after = self.sequence(known, depth + 1)
            branches.append(branch)
            made += after[len(known) :]
        return Parallel(tuple(branches)), made


Maker = Callable[[_Maker, list[str], int], tuple[Call | Parallel, list[str]]]
MAKERS: dict[Maker, int] = {_Maker.call: 5, _Maker.parallel: 3}


@cache
def shape(seed: int, index: int) -> Shape:
    """Return the seed's workflow of that index."""
    draw = rng(seed, "shape", index)
    body, known = _Maker(draw).sequence([], 0)
    results = draw.sample(known, min(len(known), 3))
    return Shape(f"faults/{index}", body, tuple(results))


def shape_of_run(seed: int, number: int) -> Shape:
    """Return the workflow that the seed's run of that number belongs to."""
    return shape(seed, number % WORKFLOWS)
