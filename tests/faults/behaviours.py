"""What each step of each run does, at each attempt: derived from the seed, known to the checker.

A run has a mood: most are to succeed, some have one node that fails for good, some of those a
compensation that does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random

from jobs.crashpoints import Point
from tests.faults import fixed, numbers
from tests.faults.drawing import shape
from tests.faults.seeds import rng
from tests.faults.shapes import (
    CHILD,
    CUTTING,
    EACH,
    LISTER,
    MILD,
    PIVOT,
    TASK,
    WORKFLOWS,
    Call,
    Shape,
)
from tests.faults.values import items_of

ATTEMPTS = 5
COMPENSATE = ".compensate"
CANCELLED_SHARE = 0.1

# Where an attempt ends its own process: in the author's code, or, armed there, at the n-th database
# statement of the engine after it, before or behind it, or at a point that the engine names.
SURE_DEATHS = ("start", "saved", "end")
STATEMENTS = ("before-1", "after-1", "before-2", "after-2", "before-4", "after-4")
NAMED = tuple(f"at {point}" for point in Point if point != Point.LEASE_EXTENDED)
POINTS = (*SURE_DEATHS, *STATEMENTS, *NAMED)
FREEZE = "freeze"  # its worker stands still beyond the lease, and then goes on
AFTER_PEACE = 1  # a run that is started then, so that nothing kills its frozen worker
DYING_RUNS = 10  # of each history: the first, whose first step dies in some way
# So that a later attempt is under way when the frozen one ends.
WORK_AFTER_FREEZE = 2.5


@dataclass(frozen=True)
class Behaviour:
    """One node's doings. `failures` attempts fail with an ordinary error; `ending` is how the one
    after them ends: `return`, `done` (with undo data), `skip`, `permanent` or `permanent-undo`.
    `saves` says that each attempt saves undo data first, `publishes` that it publishes an event.
    """

    work_seconds: float = 0.0
    failures: int = 0
    ending: str = "return"
    saves: bool = False
    publishes: bool = False
    deaths: Mapping[int, str] = field(default_factory=dict)
    is_stubborn: bool = False  # behind a pivot: not given up after the last attempt

    @property
    def fails_for_good(self) -> bool:
        if self.is_stubborn:
            return False
        return self.failures >= ATTEMPTS or self.ending.startswith("permanent")

    @property
    def mended(self) -> "Behaviour":
        """What it does when people have mended it and pulled a lever."""
        ending = "return" if self.ending.startswith("permanent") else self.ending
        deaths = {attempt: way for attempt, way in self.deaths.items() if way != FREEZE}
        failures = 0 if self.fails_for_good else self.failures
        return replace(self, ending=ending, failures=failures, deaths=deaths)


@dataclass(frozen=True)
class RunPlan:
    """A run's plan: its shape, the behaviour by node or `node.compensate`, when it is cancelled."""

    number: int
    shape: Shape
    nodes: Mapping[str, Behaviour]
    cancel_after: float | None

    @property
    def doomed(self) -> set[str]:
        """The nodes, compensations included, that are planned to fail for good."""
        return {node for node, behaviour in self.nodes.items() if behaviour.fails_for_good}

    @property
    def mended(self) -> "RunPlan":
        """The plan of a later generation: nothing fails for good, and nobody cancels."""
        nodes = {node: behaviour.mended for node, behaviour in self.nodes.items()}
        return replace(self, nodes=nodes, cancel_after=None)


@cache
def plan(seed: int, number: int) -> RunPlan:
    """Return what the seed has in store for its run of that number."""
    draw = rng(seed, "run", number)
    shape = shape_of_run(seed, number)
    mood = draw.choices(("smooth", "bumpy", "doomed", "lost"), (3, 3, 3, 1))[0]
    nodes: dict[str, Behaviour] = {}
    for call in shape.calls:
        for node in nodes_of(call, number):
            nodes[node] = _forward(draw, call, mood)
            nodes[node + COMPENSATE] = _backward(draw, mood)
    if number < DYING_RUNS:
        first = shape.calls[0].node
        ways = (FREEZE, FREEZE, *rng(seed, "deaths").sample(POINTS, DYING_RUNS))
        nodes[first] = _dying(nodes[first], ways[number])
    if mood in ("doomed", "lost"):
        call = _victim(draw, shape)
        for victim in nodes_of(call, number)[-1:]:
            is_doomed = not _is_behind_pivot(shape, call)
            nodes[victim] = (_doom if is_doomed else _hold_up)(draw, nodes[victim])
    may_be_cancelled = numbers.is_ordinary(number) and number >= DYING_RUNS
    cancelled = may_be_cancelled and draw.random() < CANCELLED_SHARE
    cancel = draw.uniform(0.0, 6.0) if cancelled else None
    return RunPlan(number, shape, nodes, cancel)


def shape_of_run(seed: int, number: int) -> Shape:
    """Return the workflow that the run of that number belongs to."""
    if numbers.is_child(number):
        return shape(seed, WORKFLOWS)
    if numbers.BY_HAND <= number < numbers.SINGLES:
        return fixed.HAND
    if numbers.SINGLES <= number < numbers.DEBOUNCED:
        return fixed.SINGLE
    if numbers.DEBOUNCED <= number < numbers.ROLLED_BACK:
        return fixed.DEBOUNCED
    return shape(seed, number % WORKFLOWS)


def _victim(draw: Random, shape: Shape) -> Call:
    """Return the call that is to fail for good: a later one, or one that cuts the rest."""
    cutting = [call for call in shape.calls if call.kind == CUTTING]
    if cutting and draw.random() < 0.5:
        return draw.choice(cutting)
    return draw.choice(shape.calls[len(shape.calls) // 2 :])


def _is_behind_pivot(shape: Shape, call: Call) -> bool:
    """Whether its failure is no reason to stop: it is tried on and on."""
    pivots = [one.node for one in shape.calls if one.kind == PIVOT]
    return call.kind not in MILD and any(shape.precedes(node, call.node) for node in pivots)


def nodes_of(call: Call, number: int) -> list[str]:
    """Return the nodes in which a call runs its step: one, or of an `each` one for each item; of a
    child run and a plain task, which act without a plan, none.
    """
    if call.kind in (CHILD, TASK):
        return []
    if call.kind != EACH:
        return [call.node]
    return [f"{call.node}[{i}]" for i, _ in enumerate(items_of(number, call.items_from))]


def _forward(draw: Random, call: Call, mood: str) -> Behaviour:
    made = Behaviour(
        work_seconds=draw.choice((0.0, 0.0, 0.01, 0.05, 0.3)),
        saves=call.is_compensated and call.kind != "atomic" and draw.random() < 0.3,
        publishes=draw.random() < 0.3,
    )
    if mood == "smooth":
        return made
    if call.kind not in (LISTER, PIVOT) and draw.random() < 0.06:
        return replace(made, ending="skip")
    return replace(
        made,
        failures=draw.choices((0, 1, 2), (8, 2, 1))[0],
        ending="done" if call.is_compensated and draw.random() < 0.3 else "return",
        deaths=_deaths(draw, share=0.08 if mood == "bumpy" else 0.04),
    )


def _backward(draw: Random, mood: str) -> Behaviour:
    failures = draw.choices((0, 1, 2), (8, 2, 1))[0]
    if mood == "lost" and draw.random() < 0.3:
        failures = ATTEMPTS
    return Behaviour(
        work_seconds=draw.choice((0.0, 0.02)), failures=failures, deaths=_deaths(draw, share=0.06)
    )


def _dying(before: Behaviour, point: str) -> Behaviour:
    work = WORK_AFTER_FREEZE if point == FREEZE else before.work_seconds
    return replace(before, deaths={1: point}, work_seconds=work, failures=0, ending="return")


def _doom(draw: Random, before: Behaviour) -> Behaviour:
    ending = draw.choice(("permanent", "permanent-undo", "return"))
    return replace(before, ending=ending, failures=ATTEMPTS if ending == "return" else 0)


def _hold_up(draw: Random, before: Behaviour) -> Behaviour:
    return replace(before, ending="return", failures=ATTEMPTS + 2, is_stubborn=True)


def _deaths(draw: Random, *, share: float) -> dict[int, str]:
    if draw.random() >= share:
        return {}
    return {1: draw.choice(POINTS)}
