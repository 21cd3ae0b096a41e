"""Texts about one thing do not speak of several."""

import pytest

from jobs.counting import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 runs"), (1, "1 run"), (2, "2 runs"), (2000, "2,000 runs")]
)
def test_a_noun_is_in_the_plural_of_all_but_one(count: int, text: str) -> None:
    assert counted(count, "run") == text
