"""What every measurement is given."""

from dataclasses import dataclass

from bench.shape import EVENTS, FINISHED_RUNS
from bench.stage import Stage


@dataclass(frozen=True)
class Setup:
    """The stage, how often to measure, how many finished runs to put into the tables, and over how
    many events to look at the relay's memory.
    """

    stage: Stage
    rounds: int = 5
    finished_runs: int = FINISHED_RUNS
    events: int = EVENTS
