"""How long a search takes among 100,000 entries of one company."""

from functools import partial

from bench.mailbox import Mailbox
from bench.rows import Row, at_most, measured
from bench.samples import exact, interleave
from bench.setup import Setup
from bench.shape import SEARCHED_ENTRIES

FILL_SECONDS = 900.0
# What is typed, and what ILIKE does beside.
KINDS = {
    "name": "a whole name",
    "beginnings": "the beginnings of two words",
    "mistyped": "a name without one of its letters",
    "frequent": "a word of every sixth name",
    "letter": "one letter",
    "body": "a word of the text",
}


def measure(setup: Setup) -> list[Row]:
    """Each kind of search beside ILIKE over the same rows; the median of ten different ones."""
    stage = setup.stage
    env = {"DATABASE_URL": stage.create_database("bench_search")}
    with stage.probe("search", env) as probe:
        probe.ask("prepare")
        rate = probe.ask("fill", count=SEARCHED_ENTRIES, seconds=FILL_SECONDS)
        rows = [measured("entries into the search index", exact(rate), unit="entries/s")]
        for kind, what in KINDS.items():
            found = interleave(
                {do: partial(_ask, probe, do, kind) for do in ("searches", "bare")},
                rounds=setup.rounds,
            )
            rows.append(
                measured(
                    f"search() for {what}, {SEARCHED_ENTRIES:,} entries",
                    found["searches"],
                    unit="ms",
                    beside=("ILIKE", found["bare"]),
                    goal=at_most(50),
                )
            )
    return rows


def _ask(probe: Mailbox, do: str, kind: str) -> float:
    return float(probe.ask(do, kind=kind, count=SEARCHED_ENTRIES))
