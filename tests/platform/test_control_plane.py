"""Worker events and remote control over Redis, while the tasks come from SQS: real processes."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from counterpoint.embedded import EmbeddedServices
from counterpoint.embedded.ports import HOST
from tests.platform.conftest import CELERY, Workers
from tests.platform.probe_app.tasks import RUN_ID
from tests.waiting import wait_until

LOGIN = "admin:for-this-test"


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


def test_flower_lists_steps_that_ran_in_place_under_their_names(
    workers: Workers, flower: str
) -> None:
    workers.start("placed")
    workers.run_tasks("placed", count=1, task="probe.go-on")

    def states() -> dict[str, str]:
        tasks = ask(f"{flower}/tasks?workername=placed@test").values()
        return {task["name"]: task["state"] for task in tasks}

    expected = {
        "probe.go-on": "SUCCESS",
        "probe-good": "SUCCESS",
        "probe-bad": "FAILURE",
        "probe-again": "RETRY",
        "probe-long": "STARTED",
    }
    wait_until(lambda: states() == expected, what="each step in its state in Flower")
    tasks = {t["name"]: t for t in ask(f"{flower}/tasks?workername=placed@test").values()}
    assert all(str(RUN_ID) in task["args"] for name, task in tasks.items() if "." not in name)
    assert tasks["probe-bad"]["exception"] == "ValueError('for good')"
    assert tasks["probe-good"]["retries"] == 1


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
        workers.run_tasks("still-without-redis", count=30, task="probe.go-on")
    finally:
        workers.services.restart("redis")

    wait_until(
        lambda: workers.answering() == {"steady@test", "late@test"}, what="answers from both"
    )
