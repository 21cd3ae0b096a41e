"""A probe is asked through Redis, and its failures come back."""

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from bench.errors import ProbeFailed
from bench.mailbox import Mailbox, serve
from counterpoint.embedded import EmbeddedServices, ProcessEnded


def refuse() -> None:
    raise LookupError("no such thing")


@pytest.fixture
def probe(services: EmbeddedServices) -> Iterator[Mailbox]:
    """A mailbox whose process runs and whose requests a thread of this process answers."""
    name, url = "probe-of-the-tests", os.environ["REDIS_URL"]
    services.start_process(name, ["sleep", "60"])
    box = Mailbox(name, url=url, processes=services.processes)
    handlers = {"double": lambda number: 2 * number, "refuse": refuse}
    answering = threading.Thread(target=serve, args=(name, handlers), kwargs={"url": url})
    answering.start()
    yield box
    box.dismiss()
    answering.join()
    services.processes.kill(name)


def test_a_probe_answers_with_what_its_handler_returned(probe: Mailbox) -> None:
    assert probe.ask("double", number=21) == 42


def test_an_exception_in_a_probe_is_raised_where_it_was_asked(probe: Mailbox) -> None:
    with pytest.raises(ProbeFailed, match="refuse: LookupError: no such thing"):
        probe.ask("refuse")

    assert probe.ask("double", number=1) == 2  # it goes on


def test_asking_a_probe_that_has_ended_raises(services: EmbeddedServices, probe: Mailbox) -> None:
    services.start_process("ended", [sys.executable, "-c", "raise SystemExit('gave up')"])
    box = Mailbox("ended", url=os.environ["REDIS_URL"], processes=services.processes)

    with pytest.raises(ProcessEnded, match="gave up"):
        box.ask("double", number=1)
