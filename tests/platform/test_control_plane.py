"""Worker events and remote control over Redis, while the tasks come from SQS: real processes."""

import base64
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.management import call_command
from pytest_django import Settings

from counterpoint import celeryconfig
from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.ports import HOST
from counterpoint.sqs import QueueUrls
from tests.waiting import wait_until

LOGIN = "admin:for-this-test"
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

    def start(self, name: str) -> None:
        """Start a worker and wait until it takes tasks."""
        log = self.services.processes.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        self.services.start_process(name, [*WORKER, "-n", f"{name}@test"], self.environment)
        self.started.append(name)

        def is_ready() -> bool:
            self.services.processes.require(name)
            return f"{name}@test ready" in log.read_text()

        wait_until(is_ready, what=f"{name} is ready")

    def run_tasks(self, prefix: str, count: int = 3) -> None:
        """Send tasks over SQS and wait until each has left its file."""
        paths = [self.directory / f"{prefix}-{number}" for number in range(count)]
        for path in paths:
            self.sender.send_task("probe.touch", [str(path)], queue="default")
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


@pytest.fixture
def flower(services: EmbeddedServices, workers: Workers) -> Iterator[str]:
    """Flower, and the URL of its API."""
    argv = [*CELERY, "-A", "counterpoint.monitor", "flower", "--address=127.0.0.1"]
    services.start_process("flower", argv, {**workers.environment, "FLOWER_BASIC_AUTH": LOGIN})
    url = f"http://{HOST}:{services.ports.flower}/api"

    def is_there() -> bool:
        services.processes.require("flower")
        try:
            ask(f"{url}/workers")
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False
        return True

    wait_until(is_there, what="Flower's API")
    yield url
    services.processes.kill("flower")


def ask(url: str) -> dict[str, dict[str, Any]]:
    login = base64.b64encode(LOGIN.encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {login}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        found: dict[str, dict[str, Any]] = json.load(response)
        return found


def test_flower_lists_the_worker_and_its_tasks(workers: Workers, flower: str) -> None:
    workers.start("seen")
    workers.run_tasks("seen", count=2)

    queues = wait_until(
        lambda: ask(f"{flower}/workers?refresh=true").get("seen@test", {}).get("active_queues"),
        what="the worker in Flower",
    )
    names = {queue["name"] for queue in queues or ()}
    assert {"default", "orders", "webhooks", "workflows"} <= names

    def succeeded() -> bool:
        tasks = ask(f"{flower}/tasks?workername=seen@test").values()
        return sorted((t["name"], t["state"]) for t in tasks) == [("probe.touch", "SUCCESS")] * 2

    wait_until(succeeded, what="both tasks as succeeded in Flower")


def test_flower_can_shut_a_worker_down(workers: Workers, flower: str) -> None:
    workers.start("unwanted")
    login = base64.b64encode(LOGIN.encode()).decode()
    request = urllib.request.Request(
        f"{flower}/worker/shutdown/unwanted@test",
        method="POST",
        headers={"Authorization": f"Basic {login}"},
    )
    wait_until(lambda: "unwanted@test" in ask(f"{flower}/workers?refresh=true"), what="it is known")

    with urllib.request.urlopen(request, timeout=30):
        pass

    assert workers.services.processes.wait("unwanted") == 0


def test_losing_redis_stops_no_task_and_control_comes_back(workers: Workers) -> None:
    workers.start("steady")
    wait_until(lambda: workers.answering() == {"steady@test"}, what="an answer to the ping")

    workers.services.processes.kill("redis")
    try:
        workers.run_tasks("without-redis", count=30)
        workers.start("late")  # Redis is not needed to start either
        workers.run_tasks("still-without-redis", count=30)
    finally:
        workers.services.restart("redis")

    wait_until(
        lambda: workers.answering() == {"steady@test", "late@test"}, what="answers from both"
    )
