"""Interleaved measuring, and what the samples say: medians, and the noise of A against A."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

Measure = Callable[[], float]


@dataclass(frozen=True)
class Series:
    """What one contestant measured: two figures a round, each between those of the others.

    `pairs` is not empty and holds positive figures.
    """

    pairs: tuple[tuple[float, float], ...]

    @property
    def median(self) -> float:
        """The median of the rounds, each the mean of its two figures."""
        return median(fmean(pair) for pair in self.pairs)

    @property
    def noise(self) -> float:
        """How far A lies from A: the median over the rounds of what two figures of one differ by.

        A fraction of the lower figure: 0.1 says that A was measured as 1.1 times itself. Zero for
        figures of zero.
        """
        return median(max(pair) / min(pair) - 1 if any(pair) else 0.0 for pair in self.pairs)


def exact(count: float) -> Series:
    """Return the series of what was counted: without noise, however often."""
    return Series(((count, count),))


def interleave(contestants: Mapping[str, Measure], *, rounds: int) -> dict[str, Series]:
    """Measure everybody twice a round, ABAB, and return each one's series.

    What slows the machine down for a while then slows all of them down. Raises ValueError for
    fewer than one round.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds: at least one is needed")
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        first = {name: measure() for name, measure in contestants.items()}
        for name, measure in contestants.items():
            figures[name].append((first[name], measure()))
    return {name: Series(tuple(pairs)) for name, pairs in figures.items()}
