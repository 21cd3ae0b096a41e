"""The main job on the queues of the CloudFormation stack, each process within its own policy."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from pytest_django import Settings

from counterpoint import sqs
from counterpoint.demo import report, scenario
from counterpoint.demo.receiver import Receiver
from jobs import dispatch
from tests.acceptance.conftest import APPS, Platform
from tests.platform.stacks import document, made_stack
from tests.waiting import wait_until

TEMPLATE = Path(__file__).parents[2] / "deploy" / "cloudformation" / "counterpoint.json"
CALLS_APP = "tests.acceptance.calls_app"
# What one action of IAM covers.
ACTIONS = {
    f"{verb}Batch": verb for verb in ("SendMessage", "DeleteMessage", "ChangeMessageVisibility")
}


@pytest.fixture
def queue_prefix(settings: Settings) -> str:
    made = settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    return made


@pytest.fixture
def stack(queue_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with made_stack(TEMPLATE.read_text(), prefix=queue_prefix) as outputs:
        options = current_app.conf.broker_transport_options
        monkeypatch.setitem(options, "queue_name_prefix", queue_prefix)
        monkeypatch.setitem(options, "predefined_queues", sqs.QueueUrls())
        monkeypatch.setattr(dispatch, "_outgoing", dispatch._begin())
        yield outputs


def calls(path: Path) -> dict[str, set[tuple[str, str]]]:
    """Return what was asked of AWS: the (action, queue) pairs of each process."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        process, service, operation, queue = line.split()
        action = f"{service}:{ACTIONS.get(operation, operation)}"
        found.setdefault(process, set()).add((action, queue))
    return found


def allows(policy: dict[str, Any], action: str, queue: str) -> bool:
    return any(
        action in statement["Action"]
        and (
            statement["Resource"] == "*"
            or any(arn.endswith(f":{queue}") for arn in statement["Resource"])
        )
        for statement in policy["Statement"]
    )


def test_the_main_job_runs_on_the_stacks_queues_within_the_policies(
    stack: dict[str, str], platform: Platform, tmp_path: Path
) -> None:
    path = tmp_path / "calls"
    more = {"EXTRA_APPS": f"{APPS},{CALLS_APP}", "CALLS_FILE": str(path)}
    platform.start("worker", "relay", "ingest", "beat", **more)

    with Receiver() as receiver:
        story = scenario.tell(platform.environment["DATABASE_URL"], receiver)

    assert [line.what for line in report.lines(story, receiver) if not line.ok] == []

    def has_measured() -> bool:
        made = calls(path)
        asked = {action for name in ("relay", "beat") for action, _ in made.get(name, ())}
        return "cloudwatch:GetMetricData" in asked and {"ingest", "worker"} <= set(made)

    wait_until(has_measured, what="every process has asked for what it needs")
    worked = {action for action, _ in calls(path)["worker"]}
    assert {"sqs:ReceiveMessage", "sqs:SendMessage", "sqs:DeleteMessage"} <= worked
    refused = [
        (process, action, queue)
        for process in ("worker", "relay", "ingest", "beat")
        for action, queue in calls(path).get(process, ())
        if not allows(document(stack[f"{process.title()}PolicyArn"]), action, queue)
    ]
    assert refused == []
