"""When which process is killed, frozen or restarted: a list derived from the seed."""

from dataclasses import dataclass

from jobs.crashpoints import Point
from tests.faults.seeds import rng

WORKERS = ("worker-a", "worker-b")

# What may happen, and how often one is drawn against another.
KINDS = {
    "kill pool process": 12,
    "kill worker": 2,
    "freeze worker": 2,
    "kill relay": 2,
    "kill starter": 1,
    "restart postgres": 1,
    "crash postgres": 1,
    "silence sqs": 1,
}
# Each of these happens at least once in every history that is long enough for them.
SURE = ("kill worker", "kill relay", "restart postgres", "freeze worker", "kill pool process")


RELAY_POINTS = (
    Point.DUE_WRITTEN,
    Point.DUE_COMMITTED,
    Point.SENDING,
    Point.SENT,
    Point.GIVE_UP_WRITTEN,
    Point.GIVEN_UP,
    Point.TURN_WRITTEN,
    Point.TURNED,
)


@dataclass(frozen=True)
class Fault:
    """One blow, `at` seconds after the first run is started; `share` says which pool process."""

    at: float
    kind: str
    target: str = ""
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.target}".strip()


def timeline(seed: int, *, seconds: float, act: int = 1) -> list[Fault]:
    """Return the faults of an act whose trouble lasts that long, about one a second."""
    draw = rng(seed, "timeline", *range(1, act))
    kinds = list(SURE) + draw.choices(list(KINDS), list(KINDS.values()), k=max(0, int(seconds) - 5))
    faults = [
        Fault(draw.uniform(0.5, seconds), kind, draw.choice(WORKERS), draw.random())
        for kind in kinds
    ]
    return sorted(faults, key=lambda fault: fault.at)


def relay_death(seed: int, boot: int) -> str:
    """Return the point at which the relay of that boot ends itself, and the how manieth time."""
    draw = rng(seed, "relay", boot)
    return f"{draw.randint(1, 6)} {draw.choice(RELAY_POINTS)}"


def clock_shifts(seed: int) -> dict[str, float]:
    """Return the hours by which each process's clock is set apart from the true one."""
    draw = rng(seed, "clocks")
    return {name: draw.uniform(-30, 30) for name in (*WORKERS, "relay", "starter", "levers")}
