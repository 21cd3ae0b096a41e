"""Real workers on queues of their own."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from django.core.management import call_command
from pytest_django import Settings

from counterpoint import celeryconfig
from counterpoint.embedded import EmbeddedServices
from counterpoint.sqs import QueueUrls
from tests.waiting import wait_until

CELERY = [sys.executable, "-m", "celery"]
WORKER = [*CELERY, "-A", "counterpoint", "worker", "--loglevel", "INFO", "--concurrency", "1"]
WORKER += ["--without-gossip", "--without-mingle", "--without-heartbeat", "-E"]


class Workers:
    """Start workers by name and see what they do."""

    def __init__(self, services: EmbeddedServices, directory: Path, prefix: str) -> None:
        self.services = services
        self.directory = directory
        self.environment = {"EXTRA_APPS": "tests.platform.probe_app", "SQS_QUEUE_PREFIX": prefix}
        self.started: list[str] = []
        self.sender = Celery("sender", set_as_current=False)
        self.sender.config_from_object(celeryconfig)
        self.sender.conf.broker_transport_options = {
            **celeryconfig.broker_transport_options,
            "queue_name_prefix": prefix,
            "predefined_queues": QueueUrls(),
        }

    def start(self, name: str, *arguments: str) -> None:
        """Start a worker and wait until it takes tasks."""
        log = self.services.processes.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        self.services.start_process(
            name, [*WORKER, "-n", f"{name}@test", *arguments], self.environment
        )
        self.started.append(name)

        def is_ready() -> bool:
            self.services.processes.require(name)
            return f"{name}@test ready" in log.read_text()

        wait_until(is_ready, what=f"{name} is ready")

    def run_tasks(self, prefix: str, count: int = 3, *, task: str = "probe.touch") -> None:
        """Send tasks over SQS and wait until each has left its file."""
        paths = [self.directory / f"{prefix}-{number}" for number in range(count)]
        for path in paths:
            self.sender.send_task(task, [str(path)], queue="default")
        wait_until(lambda: all(path.exists() for path in paths), what=f"the tasks {prefix}")

    def answering(self) -> set[str]:
        """Return the names of the workers that answer `celery inspect ping`."""
        argv = [*CELERY, "-A", "counterpoint.monitor", "inspect", "ping", "--json"]
        env = {**os.environ, **self.environment}
        ended = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
        return set(json.loads(ended.stdout)) if ended.returncode == 0 else set()


@pytest.fixture
def workers(services: EmbeddedServices, tmp_path: Path, settings: Settings) -> Iterator[Workers]:
    # Queues of its own: the emulator answers the long poll of a worker that is gone, and so loses
    # what the next test sends.
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    call_command("ensure_queues", verbosity=0)
    workers = Workers(services, tmp_path, settings.SQS_QUEUE_PREFIX)
    yield workers
    workers.sender.close()
    for name in workers.started:
        services.processes.stop(name)
