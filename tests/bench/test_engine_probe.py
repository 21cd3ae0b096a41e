"""The probe that runs this engine, on the engine as it is."""

import sys
from collections.abc import Iterator, Mapping

import pytest

from bench.mailbox import Mailbox
from bench.shape import STEPS
from bench.stage import ENVIRONMENT
from counterpoint.embedded import EmbeddedServices


@pytest.fixture
def probe(services: EmbeddedServices, process_environment: Mapping[str, str]) -> Iterator[Mailbox]:
    name = "engine-of-the-tests"
    argv = [sys.executable, "-m", "bench.probe", name]
    box = Mailbox(name, url=process_environment["REDIS_URL"], processes=services.processes)
    services.start_process(name, argv, {**process_environment, **ENVIRONMENT})
    box.ask("prepare")
    yield box
    box.dismiss()
    services.processes.wait(name)


def test_it_times_steps_counts_what_they_send_and_copies_finished_runs(probe: Mailbox) -> None:
    times = probe.ask("steps", count=2)
    counts = probe.ask("counts", flow="bench/spread")
    rows = probe.ask("fill_finished", count=10)

    assert [time > 0 for time in times] == [True, True]
    assert counts["messages"] == STEPS
    assert counts["round_trips"] >= STEPS
    assert rows >= 10 * (1 + STEPS)
