"""The Procfile's real processes on the test's own database and queues."""

import uuid
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path

import pytest
from celery import current_app
from django.core.management import call_command
from pytest_django import Settings

from counterpoint import sqs
from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.application import start_processes
from jobs import dispatch

APPS = "tests.acceptance.slow_app"
LOG_CHARACTERS = 6000


class Platform:
    """The processes of one test, by their Procfile names; all are killed at its end."""

    def __init__(self, services: EmbeddedServices, environment: Mapping[str, str]) -> None:
        self.services = services
        self.environment = {**environment, "EXTRA_APPS": APPS}
        del self.environment["PATH"]  # start_processes puts the virtual environment before it
        self.names: list[str] = []

    def start(self, *names: str, **more: str) -> None:
        """Start processes of the Procfile with the test's environment and what is given; their
        logs begin with them.
        """
        for name in names:
            self._log(name).unlink(missing_ok=True)
        self.names += start_processes(self.services, only=names, env={**self.environment, **more})

    def kill(self, name: str) -> None:
        self.services.processes.kill(name)

    def log(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")

    def _log(self, name: str) -> Path:
        return self.services.processes.logs / f"{name}.log"


@pytest.fixture
def queue_prefix(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> str:
    """The prefix of queues of this test's own.

    The emulator still answers the long polls of workers that are gone, for up to 20 s: on queues
    that an earlier test has used, a message may be held by nobody.
    """
    made = settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    call_command("ensure_queues", verbosity=0)
    options = current_app.conf.broker_transport_options
    monkeypatch.setitem(options, "queue_name_prefix", made)
    monkeypatch.setitem(options, "predefined_queues", sqs.QueueUrls())
    monkeypatch.setattr(dispatch, "_outgoing", dispatch._begin())
    return made


@pytest.fixture
def platform(
    services: EmbeddedServices, process_environment: Mapping[str, str], queue_prefix: str
) -> Iterator[Platform]:
    made = Platform(services, {**process_environment, "SQS_QUEUE_PREFIX": queue_prefix})
    yield made
    for name in made.names:
        services.processes.kill(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the ends of the processes' logs to the report of a failed test."""
    report = yield
    made = getattr(item, "funcargs", {}).get("platform")
    if report.when == "call" and report.failed and isinstance(made, Platform):
        for name in dict.fromkeys(made.names):
            report.sections.append((f"the end of {name}.log", made.log(name)[-LOG_CHARACTERS:]))
    return report
