"""Values into JSON and back, and what is refused on the way."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from jobs.errors import InvalidInput, InvalidOutput
from jobs.retry import Backoff
from jobs.values import Codec, types_of


class Model(BaseModel):
    name: str
    count: int = 0


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3),
        (str | None, None),
        (list[Model], [Model(name="a", count=2)]),
        (dict[str, Decimal], {"a": Decimal("1.10")}),
        (date, date(2026, 1, 2)),
        (datetime, datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)),
        (UUID, UUID(int=7)),
        (tuple[int, str], (1, "a")),
        (dict[int, bool], {1: True}),
    ],
)
def test_a_value_comes_back_as_it_went(annotation: Any, value: Any) -> None:
    codec = Codec(annotation)

    assert codec.decode(codec.encode(value, what="x"), what="x") == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a\0b", "\ud800", {"a\0": 1}])
def test_what_jsonb_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InvalidOutput):
        Codec(Any).encode(value, what="x")


def test_a_value_without_a_json_form_is_refused() -> None:
    for value in (object(), [object()], {"a": type}):
        with pytest.raises(InvalidOutput):
            Codec(Any).encode(value, what="x")


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert Codec(str).encode("\\u0000", what="x") == "\\u0000"


class Aliased(BaseModel):
    order_id: int = Field(alias="orderId")
    shown: int = Field(serialization_alias="shownAs")
    tags: set[str] = {"a", "b", "c"}


def test_aliases_are_taken_and_fields_are_stored() -> None:
    codec = Codec(list[Aliased])

    stored = codec.encode([{"orderId": 1, "shown": 2, "tags": []}], what="x")

    assert stored == [{"order_id": 1, "shown": 2, "tags": []}]
    assert codec.decode(stored, what="x")[0].order_id == 1


def test_issues_name_the_place_and_hold_no_input() -> None:
    with pytest.raises(InvalidInput) as caught:
        Codec(list[Model]).decode([{"name": "a", "count": "s3cret"}], what="x")

    (issue,) = caught.value.issues
    assert issue["loc"] == (0, "count")
    assert "s3cret" not in str(caught.value.issues)


def test_backoff_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(timedelta(seconds=1), 2.0, timedelta(seconds=5), jitter=False)

    assert [backoff.delay(n).total_seconds() for n in (1, 2, 3, 4, 5000)] == [1, 2, 4, 5, 5]


def test_jitter_draws_between_half_and_all_of_the_wait() -> None:
    backoff = Backoff(timedelta(seconds=4))

    assert backoff.delay(1, draw=0.0) == timedelta(seconds=2)
    assert backoff.delay(1, draw=0.5) == timedelta(seconds=3)
    assert timedelta(seconds=2) <= backoff.delay(1) <= timedelta(seconds=4)


class Described(BaseModel):
    """One text."""

    title: str
    description: int = 0


class DescribedOtherwise(BaseModel):
    """Another text, and another default."""

    title: str
    description: int = 7


def test_types_are_told_apart_by_what_they_take_not_by_their_texts() -> None:
    def hash_of(annotation: Any) -> str:
        return types_of({"value": Codec(annotation)}, Codec(int))

    assert hash_of(Described) == hash_of(DescribedOtherwise)
    assert len({hash_of(one) for one in (Described, Model, int, str, int | None, dict)}) == 6
    assert hash_of(int) != types_of({"other": Codec(int)}, Codec(int))


def test_a_type_without_a_schema_has_a_hash_too() -> None:
    kinds = (Callable[[int], int], Callable[[str], str])

    assert len({types_of({}, Codec(kind)) for kind in kinds}) == 2
