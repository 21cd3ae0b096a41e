"""What the number of a run says: the one thing that its plan depends on, besides the seed.

The ranges: a history's ordinary runs, their child runs, runs of workflows by hand, the starts of
singletons and of debounced runs, and those whose transaction is rolled back.
"""

from typing import Any

CHILDREN = 100_000
BY_HAND = 500_000
SINGLES = 600_000
DEBOUNCED = 700_000
ROLLED_BACK = 1_000_000
NODES = 100  # more than a shape has


def child_number(number: int, node: str) -> int:
    """Return the number of the child run that a node of the run of that number starts."""
    return CHILDREN + number * NODES + int(node.removeprefix("n"))


def number_of(value: Any) -> int:
    """Return the number of the run with that input: itself, a list of it (a canvas by hand), or
    its parent's with the node (a child run).
    """
    if not isinstance(value, list):
        return int(value)
    return int(value[0]) if len(value) == 1 else child_number(value[0], value[1])


def is_child(number: int) -> bool:
    return CHILDREN <= number < BY_HAND


def is_ordinary(number: int) -> bool:
    """Whether it is a root run of one of the seed's own workflows."""
    return number < CHILDREN
