"""The page about events says what is: its code compiles, its JSON and its filters can be."""

import json
import re
from pathlib import Path

import pytest

from subscriptions.models import Delivery, Subscription
from subscriptions.patterns import compile_filter

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("block", blocks("python"))
def test_its_python_compiles(block: str) -> None:
    compile(block, str(PAGE), "exec")


@pytest.mark.parametrize("block", blocks("json"))
def test_its_json_is_json(block: str) -> None:
    json.loads(block)


@pytest.mark.parametrize("block", blocks("json", TEXT.split("### Filters")[1].split("## Hand")[0]))
def test_its_filters_can_be(block: str) -> None:
    compile_filter(json.loads(block))


def test_it_names_every_status_and_every_field() -> None:
    for status in Delivery.Status.values:
        assert f"`{status}`" in TEXT
    for name in ("filter", "active", "ordering", "max_rate", "debounce", "batch_size", "owner"):
        assert Subscription._meta.get_field(name)
        assert f"`{name}`" in TEXT
