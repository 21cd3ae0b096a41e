"""Rows, their goals and the file that they go to."""

import json
from pathlib import Path

import pytest

from bench.rows import Row, at_least, at_most, measured, skipped, write
from bench.samples import Series

FIELDS = ("name", "value", "unit", "beside", "beside_value", "ratio", "goal", "met")


def steady(figure: float, *, noise: float = 0.0) -> Series:
    """A series of that median and noise."""
    half = figure * noise / (2 + noise)
    return Series(((figure - half, figure + half),) * 5)


def test_a_row_holds_both_figures_and_their_ratio() -> None:
    row = measured("chain", steady(240), unit="runs/s", beside=("Celery", steady(40)))

    assert (row.value, row.beside, row.beside_value, row.ratio) == (240, "Celery", 40, 6)
    assert (row.goal, row.met) == (None, None)


@pytest.mark.parametrize(
    ("value", "noise", "met"), [(6.0, 0.0, True), (6.5, 0.1, False), (6.7, 0.1, True)]
)
def test_a_lower_bound_is_met_only_beyond_the_noise(value: float, noise: float, met: bool) -> None:
    row = measured(
        "chain",
        steady(value * 40, noise=noise),
        unit="runs/s",
        beside=("Celery", steady(40)),
        goal=at_least(6, of="ratio"),
    )

    assert row.met is met


@pytest.mark.parametrize(
    ("value", "noise", "met"), [(0.7, 0.0, True), (0.65, 0.1, False), (0.63, 0.1, True)]
)
def test_an_upper_bound_is_met_only_beyond_the_noise(value: float, noise: float, met: bool) -> None:
    row = measured("step", steady(value, noise=noise), unit="ms", goal=at_most(0.7))

    assert row.met is met


def test_the_noise_of_a_row_is_that_of_its_noisier_side() -> None:
    quiet, loud = steady(70, noise=0.01), steady(10, noise=0.3)

    row = measured(
        "chain", quiet, unit="runs/s", beside=("peer", loud), goal=at_least(6, of="ratio")
    )

    assert row.noise == pytest.approx(0.3)
    assert row.met is False


def test_a_goal_of_the_ratio_needs_something_to_stand_beside() -> None:
    with pytest.raises(ValueError, match="nothing to stand beside"):
        measured("chain", steady(1), unit="runs/s", goal=at_least(6, of="ratio"))


def test_what_was_not_measured_is_not_met_and_says_why() -> None:
    row = skipped("many", unit="runs/s", why="no start_many() yet", goal=at_least(2000))

    assert (row.value, row.met, row.goal) == (None, None, "value >= 2000")
    assert row.note == "skipped: no start_many() yet"


def test_the_file_is_a_list_of_objects_with_every_field(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    rows = [
        measured(
            "chain",
            steady(240),
            unit="runs/s",
            beside=("Celery", steady(40)),
            goal=at_least(6, of="ratio"),
        ),
        skipped("each", unit="runs/s", why="no each() yet"),
    ]

    write(rows, path)

    found = json.loads(path.read_text())
    assert [tuple(each)[: len(FIELDS)] for each in found] == [FIELDS, FIELDS]
    assert [Row(**each) for each in found] == rows
    assert [each.name for each in tmp_path.iterdir()] == ["bench.json"]
