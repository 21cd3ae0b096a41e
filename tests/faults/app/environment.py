"""What the driver tells its processes, by environment variables."""

import os

SEED = "FAULTS_SEED"
CLOCK_HOURS = "FAULTS_CLOCK_HOURS"
RUNS = "FAULTS_RUNS"
SECONDS = "FAULTS_SECONDS"
DEATH = "FAULTS_DEATH"  # of the relay: `N point`, at the N-th time that it reaches the point


def seed() -> int:
    return int(os.environ[SEED])


def number(name: str) -> float:
    return float(os.environ[name])
