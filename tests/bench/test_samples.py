"""Measuring by turns, and the medians and the noise of what was measured."""

from collections.abc import Callable

import pytest

from bench.samples import Series, interleave


def recording(name: str, calls: list[str]) -> Callable[[], float]:
    def measure() -> float:
        calls.append(name)
        return float(len(calls))

    return measure


def test_contestants_are_measured_by_turns_twice_a_round() -> None:
    calls: list[str] = []

    found = interleave({name: recording(name, calls) for name in "AB"}, rounds=2)

    assert "".join(calls) == "ABABABAB"
    assert found["A"].pairs == ((1.0, 3.0), (5.0, 7.0))
    assert found["B"].pairs == ((2.0, 4.0), (6.0, 8.0))


def test_no_rounds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        interleave({"A": lambda: 1.0}, rounds=0)


def test_the_median_is_that_of_the_rounds_and_leaves_outliers_out() -> None:
    series = Series(((10, 12), (9, 9), (500, 700), (10, 10), (1, 1)))

    assert series.median == 10


def test_the_noise_is_how_far_two_figures_of_one_round_usually_lie_apart() -> None:
    series = Series(((10, 11), (20, 22), (30, 33), (5, 50), (7, 7)))

    assert series.noise == pytest.approx(0.1)


def test_a_round_that_was_slow_as_a_whole_is_no_noise() -> None:
    assert Series(((10, 10), (2, 2), (30, 30))).noise == 0
