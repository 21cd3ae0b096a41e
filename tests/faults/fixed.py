"""The workflows that every history has beside the seed's own: their shapes are fixed."""

from datetime import timedelta

from tests.faults.shapes import BY_HAND, TASK, Call, Parallel, Sequence, Shape

# chain(h1, group(h2, chain(h3, h4)), h5): h3 and h4 are steps, the others plain Celery tasks.
HAND = Shape(
    "faults/by-hand",
    Sequence(
        (
            Call("h1", TASK),
            Parallel(
                (
                    Sequence((Call("h2", TASK, ("h1",)),)),
                    Sequence((Call("h3", BY_HAND, ("h1",)), Call("h4", BY_HAND, ("h3",)))),
                )
            ),
            Call("h5", TASK, ("h2", "h4")),
        )
    ),
    ("h5",),
    is_bare=True,
)
_SHORT = Sequence((Call("n1", "undoable"), Call("n2", "plain", ("n1",))))
SINGLE = Shape("faults/single", _SHORT, ("n2",))
DEBOUNCED = Shape("faults/debounced", _SHORT, ("n2",))
QUIET = timedelta(seconds=1)  # after the last start of a debounced run


def key_of(number: int) -> int:
    """The singleton and debounce key of a number: there are two."""
    return number % 2
