"""A twentieth of what `make faults` plays: writers of all kinds, and the relay killed meanwhile."""

from collections.abc import Mapping

import pytest

from counterpoint.embedded import EmbeddedServices
from tests.faults.outbox.play import OutboxPlay

EVENTS, KILLS = 5_000, 3


@pytest.mark.timeout(600)
def test_no_event_is_lost_doubled_or_out_of_order(
    services: EmbeddedServices, process_environment: Mapping[str, str]
) -> None:
    outcome = OutboxPlay(services, process_environment, seed=21, events=EVENTS, kills=KILLS).play()

    if outcome.violations:
        pytest.fail(str(outcome), pytrace=False)
    assert outcome.events >= EVENTS
