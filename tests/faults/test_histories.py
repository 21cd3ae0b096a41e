"""Seeded histories on real processes, short enough for every run of the tests."""

from collections.abc import Iterator, Mapping

import pytest
from django.core.management import call_command
from django.db import connection

from counterpoint.embedded import EmbeddedServices
from tests.faults.history import History

SECONDS, RUNS = 7.0, 14


@pytest.fixture
def settings_of_processes(process_environment: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    call_command("ensure_queues", verbosity=0)
    yield process_environment
    connection.close()  # PostgreSQL was restarted under it


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("seed", "levers"), [(11, False), (12, True)])
def test_every_invariant_holds_after_a_history_of_faults(
    services: EmbeddedServices, settings_of_processes: Mapping[str, str], seed: int, levers: bool
) -> None:
    history = History(
        services, settings_of_processes, seed=seed, seconds=SECONDS, runs=RUNS, levers=levers
    )

    outcome = history.play()

    if outcome.violations:
        pytest.fail(str(outcome), pytrace=False)
    assert outcome.counts["ordinary runs"] == RUNS
    assert outcome.counts["attempts lost"] > 0, "the trouble hit nobody; make it worse"
