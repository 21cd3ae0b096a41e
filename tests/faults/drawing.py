"""Random shapes, the same in every process that knows the seed; pure."""

import random
from collections.abc import Callable
from functools import cache

from tests.faults.seeds import rng
from tests.faults.shapes import (
    CHILD,
    EACH,
    HOOKED,
    KINDS,
    LISTER,
    PIVOT,
    PIVOTED,
    WORKFLOWS,
    Call,
    Guarded,
    Item,
    Meeting,
    Parallel,
    Pause,
    Sequence,
    Shape,
)

DEEPEST = 2
MOST_CALLS = 8


class _Maker:
    def __init__(self, draw: random.Random, *, is_inner: bool = False) -> None:
        self.draw = draw
        self.is_inner = is_inner  # of a child run, which starts none itself
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

    def child(self, known: list[str], depth: int) -> "Made":
        if self.is_inner:
            return self.call(known, depth)
        made = self._node(CHILD, known)
        return [made], [made.node]

    def hooked(self, known: list[str], depth: int) -> "Made":
        if not known:
            return self.call(known, depth)
        self.count += 1
        node = f"n{self.count}"
        # What is attached gives nothing to the workflow.
        return [Call(node, HOOKED, (self.draw.choice(known),), guards=self.guards)], []

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
    _Maker.child: 2,
    _Maker.hooked: 1,
    _Maker.guarded: 2,
    _Maker.pause: 1,
    _Maker.meeting: 1,
}


@cache
def shape(seed: int, index: int) -> Shape:
    """Return the seed's workflow of that index; it begins with a step."""
    draw = rng(seed, "shape", index)
    maker = _Maker(draw, is_inner=index >= WORKFLOWS)
    (first, *_), known = maker.call([], 0)
    body, known = maker.sequence(known, 0)
    items = [first, *body.items]
    if index == PIVOTED:  # with something behind it
        pivot = maker._node(PIVOT, known)
        maker.is_inner = True  # a child run that fails there is run again after ten minutes only
        rest, known = maker.sequence([*known, pivot.node], 0)
        items += [pivot, *rest.items]
    results = draw.sample(known, min(len(known), 3))
    return Shape(f"faults/{index}", Sequence(tuple(items)), tuple(results))
