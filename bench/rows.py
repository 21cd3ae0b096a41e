"""A row of the benchmark: a figure, what it stands beside, its goal and whether that is met."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from bench.samples import Series


@dataclass(frozen=True)
class Goal:
    """A bound of a row's value, in the row's unit, or of its ratio to what it stands beside."""

    of: Literal["value", "ratio"]
    sign: Literal[">=", "<="]
    bound: float

    def __str__(self) -> str:
        return f"{self.of} {self.sign} {self.bound:g}"

    def is_met(self, found: float, *, noise: float) -> bool:
        """Say whether the bound is kept by more than the noise, a fraction, could account for."""
        if self.sign == ">=":
            return found >= self.bound * (1 + noise)
        return found * (1 + noise) <= self.bound


def at_least(bound: float, *, of: Literal["value", "ratio"] = "value") -> Goal:
    return Goal(of, ">=", bound)


def at_most(bound: float, *, of: Literal["value", "ratio"] = "value") -> Goal:
    return Goal(of, "<=", bound)


@dataclass(frozen=True)
class Row:
    """One line of the table and one object of the JSON file.

    `noise` is a fraction, the larger one's of the two sides. `limit` is what the machine's own
    commit rate allows, in `unit`. `met` is None without a goal or a value. A row without a value
    was not measured; its `note` says why.
    """

    name: str
    value: float | None
    unit: str
    beside: str | None = None
    beside_value: float | None = None
    ratio: float | None = None
    goal: str | None = None
    met: bool | None = None
    noise: float | None = None
    limit: float | None = None
    note: str = ""


def measured(
    name: str,
    series: Series,
    *,
    unit: str,
    beside: tuple[str, Series] | None = None,
    goal: Goal | None = None,
    limit: float | None = None,
    note: str = "",
) -> Row:
    """Return the row of a series, beside another's if that is given, judged by the goal."""
    value, noise = series.median, series.noise
    label = other = ratio = None
    if beside is not None:
        label, other = beside[0], beside[1].median
        ratio, noise = value / other, max(noise, beside[1].noise)
    met = None
    if goal is not None:
        found = ratio if goal.of == "ratio" else value
        if found is None:
            raise ValueError(f"{name}: a goal of the ratio, and nothing to stand beside")
        met = goal.is_met(found, noise=noise)
    text = None if goal is None else str(goal)
    return Row(name, value, unit, label, other, ratio, text, met, noise, limit, note)


def skipped(name: str, *, unit: str, why: str, goal: Goal | None = None) -> Row:
    """Return the row of what could not be measured."""
    text = None if goal is None else str(goal)
    return Row(name, None, unit, goal=text, note=f"skipped: {why}")


def write(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as a JSON list of objects, unrounded, whole or not at all."""
    data: list[dict[str, Any]] = [
        {field.name: getattr(row, field.name) for field in fields(row)} for row in rows
    ]
    part = path.with_suffix(".part")
    part.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    part.replace(path)
