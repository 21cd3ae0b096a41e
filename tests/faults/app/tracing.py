"""Turn a shape into the calls that a workflow function makes."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from jobs import each, hook, parallel, sleep, wait_for, when
from tests.faults import values
from tests.faults.app.events import MET
from tests.faults.shapes import (
    CHILD,
    EACH,
    SLEEP_SECONDS,
    Call,
    Guarded,
    Item,
    Meeting,
    Parallel,
    Pause,
    Sequence,
)

MEETING_SECONDS = 2


def holds(value: Any) -> bool:
    """The predicate of every `when`."""
    return values.holds(value)


def trace(body: Sequence, steps: Mapping[str, Any], number: Any) -> dict[str, Any]:
    """Call the steps of a shape; return the symbolic values by node."""
    tracer = _Tracer(steps, number)
    tracer.sequence(body)
    return tracer.known


class _Tracer:
    def __init__(self, steps: Mapping[str, Any], number: Any) -> None:
        self.steps = steps
        self.number = number
        self.known: dict[str, Any] = {}

    def sequence(self, sequence: Sequence) -> Any:
        for item in sequence.items:
            self.item(item)

    def item(self, item: Item) -> None:
        match item:
            case Call(kind="hooked"):
                hook(item.node, self.known[item.uses[0]])
            case Call():
                self.known[item.node] = self.call(item)
            case Parallel():
                parallel(*[partial(self.sequence, branch) for branch in item.branches])
            case Guarded():
                with when(self.known[item.guard], holds):
                    self.sequence(item.body)
            case Pause():
                sleep(timedelta(seconds=SLEEP_SECONDS))
            case Meeting():
                match_ = {"number": self.number}
                wait_for(MET, match=match_, timeout=timedelta(seconds=MEETING_SECONDS))

    def call(self, call: Call) -> Any:
        named = self.steps[call.kind].options(name=call.node)
        given = [self.known[node] for node in call.uses]
        if call.kind == EACH:
            items = self.known[call.items_from]
            return each(items, named, given, max_parallel=call.max_parallel)
        if call.kind == CHILD:
            return named([self.number, call.node, given])
        return named(given)
