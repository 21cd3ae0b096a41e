"""The table as it is printed."""

import io

import pytest
from rich.console import Console

from bench.rows import at_least, measured, skipped
from bench.samples import Series
from bench.table import number, summary, table


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345.6, "12,346"), (240.4, "240"), (30.72, "30.7"), (0.334, "0.33"), (None, "")],
)
def test_numbers_show_the_digits_that_matter(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_line_shows_figure_peer_ratio_noise_goal_and_verdict() -> None:
    rows = [
        measured(
            "chain of 5",
            Series(((240, 240),)),
            unit="runs/s",
            beside=("Celery chain", Series(((40, 44),))),
            goal=at_least(6, of="ratio"),
            limit=800,
        ),
        skipped("start_many", unit="runs/s", why="not there yet"),
    ]
    console = Console(file=io.StringIO(), width=200)

    console.print(table(rows, title="fsync on"))

    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    (chain,) = [line for line in lines if "chain of 5" in line]
    cells = [cell.strip() for cell in chain.split("│")[1:-1]]
    assert cells == [
        "chain of 5", "240", "runs/s", "Celery chain", "42.0", "5.71 x", "± 10%", "800",
        "ratio >= 6", "NOT MET",
    ]  # fmt: skip
    assert any("skipped: not there yet" in line for line in lines)
    assert any(line.startswith("fsync on") for line in lines)


def test_a_summary_names_figure_and_ratio_or_why_there_is_none() -> None:
    chain = measured(
        "chain", Series(((240, 240),)), unit="runs/s", beside=("Celery", Series(((40, 40),)))
    )

    assert summary(chain) == "chain: 240 runs/s, 6.00 x Celery"
    assert summary(skipped("many", unit="s", why="no answer")) == "many: skipped: no answer"
