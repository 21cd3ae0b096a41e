"""A twentieth of what `make faults` plays: messages from outside, and ingest killed meanwhile."""

from collections.abc import Mapping

import pytest

from counterpoint.embedded import EmbeddedServices
from tests.faults.ingest.play import IngestPlay

MESSAGES, KILLS = 1_000, 2


@pytest.mark.timeout(300)
def test_every_message_is_one_event_or_one_dead_letter(
    services: EmbeddedServices, process_environment: Mapping[str, str]
) -> None:
    play = IngestPlay(services, process_environment, seed=21, messages=MESSAGES, kills=KILLS)

    outcome = play.play()

    if outcome.violations:
        pytest.fail(str(outcome), pytrace=False)
    assert outcome.messages >= MESSAGES
    assert outcome.broken
    assert outcome.again
