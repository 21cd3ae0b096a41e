"""The strict parser beside Python's own, on any JSON and on any text."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscriptions.errors import RefusedMessage
from subscriptions.ingest import strict_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # of exponents that are taken
    .filter(lambda number: number == 0 or 1e-200 < abs(number) < 1e200)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=6)
# What comes near to JSON, and goes wrong anywhere.
MARKS = [*'{}[]:,"\\', "\\u", "ud800", "\\ud83d", "\\ude00", "\x00", "\ud800", "\n", " ", "é"]
VALUE_TEXTS = ["0", "1e5", "-", "1e-9999", "1.5", "null", "true", "NaN", "Infinity", '"a"', '"a":1']
PIECES = st.lists(st.sampled_from(MARKS + VALUE_TEXTS), max_size=30)


@given(OBJECTS, st.sampled_from([None, 1]), st.booleans())
def test_it_reads_what_pythons_reads(value: Any, indent: int | None, is_ascii: bool) -> None:
    text = f" {json.dumps(value, indent=indent, ensure_ascii=is_ascii)}\n"

    found = strict_json.members(text)

    assert {name: member.value for name, member in found.items()} == value
    assert all(json.loads(member.text) == member.value for member in found.values())


@given(PIECES)
def test_it_refuses_or_reads_anything_and_never_reads_more_than_pythons(pieces: list[str]) -> None:
    for text in ("".join(pieces), "{" + "".join(pieces) + "}"):
        try:
            found = strict_json.members(text)
        except RefusedMessage:
            continue
        assert {name: member.value for name, member in found.items()} == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "' + '\\"' * 500_000,
        "{" * 1_000_000,
        '{"a": [' + "[]," * 300_000 + "0]}",
        '{"a": {' + ",".join(f'"{n}":1' for n in range(90_000)) + ',"1":2}}',
        '{"a": "' + "[{" * 500_000 + '"}',
    ],
    ids=["a text without an end", "brackets", "empty lists", "a name twice, late", "in a text"],
)
def test_no_text_takes_it_long(text: str) -> None:
    """The suite's time-out ends what is not linear."""
    with suppress(RefusedMessage):
        assert strict_json.members(text)
