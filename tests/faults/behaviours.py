"""What each step of each run does, at each attempt: derived from the seed, known to the checker.

A run has a mood: most are to succeed, some have one node that fails for good, some of those a
compensation that does.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any

from tests.faults.seeds import rng
from tests.faults.shapes import Call, Shape, shape_of_run

ATTEMPTS = 5
COMPENSATE = ".compensate"
CANCELLED_SHARE = 0.1

# Where an attempt ends its own process: in the author's code, or at the n-th database statement or
# message of the engine after it, before or behind it.
SURE_DEATHS = ("start", "saved", "end")
POINTS = (
    *SURE_DEATHS,
    "before-1",
    "after-1",
    "before-2",
    "after-2",
    "before-4",
    "after-4",
)
FREEZE = "freeze"  # its worker stands still beyond the lease, and then goes on


@dataclass(frozen=True)
class Behaviour:
    """One node's doings. `failures` attempts fail with an ordinary error; `ending` is how the one
    after them ends: `return`, `done` (with undo data), `skip`, `permanent` or `permanent-undo`.
    `saves` says that each attempt saves undo data first.
    """

    work_seconds: float = 0.0
    failures: int = 0
    ending: str = "return"
    saves: bool = False
    deaths: Mapping[int, str] = field(default_factory=dict)

    @property
    def fails_for_good(self) -> bool:
        return self.failures >= ATTEMPTS or self.ending.startswith("permanent")


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


@cache
def plan(seed: int, number: int) -> RunPlan:
    """Return what the seed has in store for its run of that number."""
    draw = rng(seed, "run", number)
    shape = shape_of_run(seed, number)
    mood = draw.choices(("smooth", "bumpy", "doomed", "lost"), (3, 3, 3, 1))[0]
    nodes: dict[str, Behaviour] = {}
    for call in shape.calls:
        nodes[call.node] = _forward(draw, call, mood)
        nodes[call.node + COMPENSATE] = _backward(draw, mood)
    if mood in ("doomed", "lost"):
        calls = shape.calls
        victim = draw.choice(calls[len(calls) // 2 :]).node
        nodes[victim] = _doom(draw, nodes[victim])
    cancel = draw.uniform(0.0, 1.5) if draw.random() < CANCELLED_SHARE else None
    return RunPlan(number, shape, nodes, cancel)


def _forward(draw: Random, call: Call, mood: str) -> Behaviour:
    made = Behaviour(
        work_seconds=draw.choice((0.0, 0.0, 0.01, 0.05, 0.3)),
        saves=call.is_compensated and draw.random() < 0.3,
    )
    if mood == "smooth":
        return made
    if draw.random() < 0.06:
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


def _doom(draw: Random, before: Behaviour) -> Behaviour:
    ending = draw.choice(("permanent", "permanent-undo", "return"))
    return replace(before, ending=ending, failures=ATTEMPTS if ending == "return" else 0)


def _deaths(draw: Random, *, share: float) -> dict[int, str]:
    if draw.random() >= share:
        return {}
    return {1: FREEZE if draw.random() < 0.1 else draw.choice(POINTS)}


def output_of(number: int, node: str, values: list[Any]) -> int:
    """Return a step's output: a digest of all it depends on, so that a wrong value shows."""
    return zlib.crc32(repr((number, node, values)).encode())


def undo_of(number: int, node: str, attempt: int) -> int:
    """Return the undo data that an attempt of a step leaves."""
    return zlib.crc32(repr((number, node, attempt, "undo")).encode())
