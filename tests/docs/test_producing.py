"""The page for producers: what it shows can be sent, and it names every reason of a refusal."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from subscriptions.ingest.companies import Companies
from subscriptions.ingest.envelopes import Incoming, read
from subscriptions.ingest.message import Message
from subscriptions.ingest.reasons import Reason
from tests.docs.test_events import blocks

PAGE = Path(__file__).parents[2] / "docs" / "producing.md"
TEXT = PAGE.read_text(encoding="utf-8")
BODIES = [block for block in blocks("json", TEXT) if "appointmentId" in block]


def message(body: str) -> Message:
    return Message(
        queue="events",
        id="1",
        handle="",
        body=body,
        sender="",
        sent_at=datetime.now(UTC),
        receive_count=1,
        attributes={},
    )


@pytest.mark.parametrize("body", BODIES)
def test_each_body_that_it_shows_is_an_event(body: str) -> None:
    found = read(message(body), Companies())

    assert isinstance(found, Incoming), found
    assert (found.company, found.type) == ("acme", "appointment.reminder")
    assert found.timestamp == datetime(2024, 4, 14, 14, tzinfo=UTC)


def test_it_shows_the_three_envelopes_and_a_policy() -> None:
    assert len(BODIES) == 3
    [policy] = [block for block in blocks("json", TEXT) if block not in BODIES]
    assert json.loads(policy)["Statement"][0]["Action"] == ["sqs:GetQueueUrl", "sqs:SendMessage"]


@pytest.mark.parametrize("body", re.findall(r"(?:message-body|-d) '([^']*)'", TEXT))
def test_what_it_sends_from_a_shell_is_an_event(body: str) -> None:
    events = json.loads(body)
    for event in events if isinstance(events, list) else [events]:
        found = read(message(json.dumps(event)), Companies(by_queue={"events": "acme"}))
        assert isinstance(found, Incoming), found


@pytest.mark.parametrize("block", blocks("python", TEXT))
def test_its_python_compiles(block: str) -> None:
    compile(block, str(PAGE), "exec")


def test_it_names_every_reason() -> None:
    for reason in Reason:
        assert f"`{reason}`" in TEXT
