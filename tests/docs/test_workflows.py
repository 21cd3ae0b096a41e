"""The page about the shipped workflows: its examples meet their contracts, its table is whole."""

import json
import re
from pathlib import Path

import pytest

from jobs.workflows.bookings.subscribing import STARTS
from subscriptions.contracts import type_named

TEXT = (Path(__file__).parents[2] / "docs" / "workflows.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("block", re.findall(r"```json\n(.*?)```", TEXT, flags=re.DOTALL))
def test_its_examples_meet_their_contracts(block: str) -> None:
    found = json.loads(block)
    payload = type_named(found["type"]).model.model_validate(found["payload"])
    told = payload.model_dump(mode="json", exclude_none=True)
    assert told.keys() >= found["payload"].keys()


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL))
def test_its_python_compiles(block: str) -> None:
    compile(block, "workflows.md", "exec")


def test_its_table_names_every_event_and_what_it_starts() -> None:
    for event_type, (workflow, _) in STARTS.items():
        assert f"`{event_type}`" in TEXT
        assert f"`{workflow.partition('/')[2]}`" in TEXT
