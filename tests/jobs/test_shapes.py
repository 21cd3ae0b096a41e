"""What annotations tell of fields and items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, NamedTuple, NewType, TypedDict

import pytest
from annotated_types import Gt
from pydantic import BaseModel, ConfigDict, RootModel, computed_field

from jobs.shapes import NoSuchField, child

OrderId = NewType("OrderId", int)


class Line(BaseModel):
    sku: str


class Order(BaseModel):
    id: OrderId
    lines: list[Line]

    @computed_field
    def count(self) -> int:
        return len(self.lines)

    @property
    def first(self) -> Line:
        return self.lines[0]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Lines(RootModel[list[Line]]):
    pass


@dataclass
class Point:
    x: int
    later: "Unknown"  # type: ignore[name-defined]  # noqa: F821 - the point


class Keyed(TypedDict):
    id: int


class Pair(NamedTuple):
    left: int
    right: str


@pytest.mark.parametrize(
    ("annotation", "key", "is_attribute", "found"),
    [
        (Order, "id", True, ("id", OrderId)),
        (Order, "count", True, ("count", int)),
        (Order | None, "lines", True, ("lines", list[Line])),
        (Annotated[Order, Gt(0)], "id", True, ("id", OrderId)),
        (Open, "whatever", True, ("whatever", Any)),
        (Lines, 0, False, (0, Line)),
        (Point, "x", True, ("x", Any)),
        (Keyed, "id", False, ("id", int)),
        (Pair, "right", True, (1, str)),
        (Pair, 0, False, (0, int)),
        (list[int], -1, False, (-1, int)),
        (Sequence[int], 0, False, (0, int)),
        (tuple[int, str], 1, False, (1, str)),
        (tuple[int, ...], 7, False, (7, int)),
        (dict[str, int], "a", False, ("a", int)),
        (dict[int, str], 3, False, ("3", str)),
        (Mapping[str, int], "a", False, ("a", int)),
        (dict[str, Any], "a", False, ("a", Any)),
        (Any, "a", True, ("a", Any)),
        (object, 3, False, (3, Any)),
        (list[int] | dict[str, str], 0, False, (0, int | str)),
    ],
)
def test_fields_and_items_have_their_types(
    annotation: Any, key: str | int, is_attribute: bool, found: tuple[Any, Any]
) -> None:
    assert child(annotation, key, is_attribute=is_attribute) == found


@pytest.mark.parametrize(
    ("annotation", "key", "is_attribute", "says"),
    [
        (Order, "ident", True, "Order has id, lines, count"),
        (Order, "first", True, "Order has id"),
        (Order | None, "ident", True, "Order has id"),
        (Point, "z", True, "Point has x"),
        (Keyed, "name", False, "Keyed has id"),
        (Pair, "middle", True, "Pair has left, right"),
        (Pair, 2, False, "Pair has left, right"),
        (list[int], "first", True, "taken by number"),
        (tuple[int, str], 2, False, "has 2 items"),
        (dict[str, int], "keys", True, r"taken as \['keys'\]"),
        (int, "real", True, "no fields or items"),
        (str, 0, False, "no fields or items"),
        (date, "year", True, "date has no fields"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    annotation: Any, key: str | int, is_attribute: bool, says: str
) -> None:
    with pytest.raises(NoSuchField, match=says):
        child(annotation, key, is_attribute=is_attribute)
