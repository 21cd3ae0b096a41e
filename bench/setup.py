"""What every measurement is given."""

from dataclasses import dataclass

from bench.shape import FINISHED_RUNS
from bench.stage import Stage


@dataclass(frozen=True)
class Setup:
    """The stage, how often to measure, and how many finished runs to put into the tables."""

    stage: Stage
    rounds: int = 5
    finished_runs: int = FINISHED_RUNS
