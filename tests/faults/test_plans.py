"""Everything about a history but its timing is the seed's."""

import subprocess
import sys

from tests.faults.behaviours import plan
from tests.faults.drawing import shape
from tests.faults.shapes import BY_HAND, COMPENSATED, WORKFLOWS
from tests.faults.timeline import clock_shifts, timeline

SEEDS = range(40)
PRINT = """
from tests.faults.behaviours import plan
from tests.faults.drawing import shape
from tests.faults.timeline import clock_shifts, timeline
print(shape(7, 1), plan(7, 3), timeline(7, seconds=20), clock_shifts(7))
"""


def test_another_process_derives_the_same_plan_from_a_seed() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PRINT], capture_output=True, text=True, check=True
    ).stdout

    here = (shape(7, 1), plan(7, 3), timeline(7, seconds=20), clock_shifts(7))
    assert told.strip() == " ".join(map(str, here))


def test_a_node_uses_only_what_comes_before_it() -> None:
    for seed in SEEDS:
        for index in range(WORKFLOWS):
            made = shape(seed, index)
            for call in made.calls:
                assert all(made.precedes(used, call.node) for used in call.uses)


def test_the_order_of_a_shape_is_that_of_its_places() -> None:
    made = next(s for seed in SEEDS for s in [shape(seed, 0)] if "[" in str(s))

    for one in made.calls:
        for other in made.calls:
            assert not (made.precedes(one.node, other.node) and made.precedes(other.node, one.node))


def test_the_plans_hold_every_way_of_ending() -> None:
    endings = {
        behaviour.ending
        for seed in SEEDS
        for number in range(10)
        for behaviour in plan(seed, number).nodes.values()
    }

    assert endings == {"return", "done", "skip", "permanent", "permanent-undo"}
    assert {call.kind for seed in SEEDS for call in shape(seed, 0).calls} >= COMPENSATED - {BY_HAND}
