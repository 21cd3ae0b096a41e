"""What the driver tells its processes, by environment variables."""

import os

SEED = "FAULTS_SEED"
CLOCK_HOURS = "FAULTS_CLOCK_HOURS"
RUNS = "FAULTS_RUNS"
SECONDS = "FAULTS_SECONDS"


def seed() -> int:
    return int(os.environ[SEED])


def number(name: str) -> float:
    return float(os.environ[name])
