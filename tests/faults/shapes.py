"""Structures of workflows: what a step is given, and what runs only after what; pure.

A new kind of step is a word in `KINDS` and a step in `app/workflows.py`. A new construct is a class
that yields its calls, a branch in `app/tracing.py` that traces it, and a line in the `MAKERS` of
`drawing`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

WORKFLOWS = 8

# The kinds of steps that app/workflows.py defines, and how often one is drawn against another.
KINDS = {
    "plain": 3,
    "undoable": 5,
    "far": 3,
    "atomic": 3,
    "continuing": 2,
    "limited": 2,
    "rated": 2,
    "recalling": 2,
    "cutting": 2,
}
LISTER = "lister"
EACH = "each"
CHILD = "child"  # a run of its own
HOOKED = "hooked"  # attached to a hook
PIVOT = "pivot"  # the point of no return
TASK = "task"  # of a canvas by hand: a plain Celery task
BY_HAND = "by-hand"  # of such a canvas: a step
CUTTING = "cutting"  # its failure for good ends the run well, without what depends on it
MILD = frozenset({"continuing", CUTTING})  # whose failure stops no run
COMPENSATED = frozenset({"undoable", "far", "atomic", "continuing", CUTTING, HOOKED, BY_HAND})
LIMIT = 2  # of the limited steps that run at once, over all workers
RATE, RATE_SECONDS = 3, 1  # of the rated steps that start, over all workers
SLEEP_SECONDS = 1

# What is special about the seed's workflow of that index.
PIVOTED, URGENT, FEW, RATED = 2, 3, 5, 6
RUNS_AT_ONCE = 2  # of the workflow FEW

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
    is_bare: bool = False  # its output is its one result itself
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
