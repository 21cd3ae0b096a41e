"""The CloudFormation template: on the emulator what it can, by itself what that lacks."""

import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from django.core.management import CommandError, call_command
from pytest_django import Settings

from counterpoint import cloudformation, sqs
from counterpoint.queues import SHIPPED, Queue, declared
from subscriptions.dead_letters.redrive import DeadLetterQueue
from tests.platform.stacks import made_stack

FILE = Path(__file__).parents[2] / "deploy" / "cloudformation" / "counterpoint.json"
OF_THE_MOMENT = {
    *("QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "RedrivePolicy"),
    # AWS encrypts every new queue by itself, the emulator those of a stack only.
    "SqsManagedSseEnabled",
}


@pytest.fixture
def template() -> dict[str, Any]:
    return cloudformation.template(SHIPPED)


@pytest.fixture
def stack(settings: Settings) -> Iterator[Any]:
    """The stack of the file, under a prefix of its own, which is the settings' now."""
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    with made_stack(FILE.read_text(), prefix=settings.SQS_QUEUE_PREFIX) as made:
        yield made


def test_the_file_is_the_template_of_the_declared_queues() -> None:
    output = io.StringIO()
    call_command("queue_template", stdout=output)

    assert FILE.read_text() == output.getvalue()
    assert json.loads(FILE.read_text()) == cloudformation.template(SHIPPED)
    call_command("queue_template", check=FILE)


def test_a_file_that_is_out_of_date_is_refused(settings: Settings) -> None:
    settings.QUEUES = declared(["reports"])

    with pytest.raises(CommandError, match="write it anew"):
        call_command("queue_template", check=FILE)


def attributes(name: str) -> dict[str, str]:
    client: Any = sqs.client()
    url = sqs.find(client, name)
    assert url is not None, name
    found: dict[str, str] = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])[
        "Attributes"
    ]
    return found


@pytest.mark.usefixtures("stack")
def test_the_stack_and_ensure_queues_agree_on_each_attribute(settings: Settings) -> None:
    names = [name for queue in SHIPPED for name in (queue.name, queue.dead_letter_name)]
    output = io.StringIO()

    call_command("ensure_queues", stdout=output)

    assert output.getvalue() == f"0 created, {len(names)} as declared\n"
    of_stack = {name: attributes(name) for name in names}
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    call_command("ensure_queues", verbosity=0)
    for name in names:
        ensured = attributes(name)
        for key in (of_stack[name].keys() | ensured.keys()) - OF_THE_MOMENT:
            assert of_stack[name].get(key) == ensured.get(key), (name, key)
        redrives = [found.get("RedrivePolicy", "{}") for found in (of_stack[name], ensured)]
        counts = [json.loads(redrive).get("maxReceiveCount") for redrive in redrives]
        assert str(counts[0]) == str(counts[1]), name


def test_every_queue_has_its_two_alarms(stack: Any, settings: Settings) -> None:
    prefix = settings.SQS_QUEUE_PREFIX
    client = boto3.client(
        "cloudwatch", endpoint_url=settings.SQS_ENDPOINT_URL, region_name=settings.AWS_REGION
    )

    found = client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=prefix)

    watched = {
        (alarm["Dimensions"][0]["Value"], alarm["MetricName"], alarm["Threshold"])
        for page in found
        for alarm in page["MetricAlarms"]
    }
    assert watched == {
        each
        for queue in SHIPPED
        for each in (
            (f"{prefix}{queue.name}-dlq", "ApproximateNumberOfMessagesVisible", 0),
            (f"{prefix}{queue.name}", "ApproximateAgeOfOldestMessage", 900),
        )
    }


# What the emulator lacks --------------------------------------------------------------------------


def alarms(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::CloudWatch::Alarm"
    ]


def test_alarms_go_off_above_their_threshold_and_tell_a_topic_if_there_is_one(
    template: dict[str, Any],
) -> None:
    tells = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    for alarm in alarms(template):
        assert alarm["Namespace"] == "AWS/SQS"
        assert alarm["Statistic"] == "Maximum"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["AlarmActions"] == alarm["OKActions"] == tells
    assert template["Parameters"]["AlarmTopicArn"]["Default"] == ""


def test_no_queue_is_fifo_so_that_company_ids_make_them_fair(template: dict[str, Any]) -> None:
    queues = [one for one in template["Resources"].values() if one["Type"] == "AWS::SQS::Queue"]

    assert len(queues) == 2 * len(SHIPPED)
    assert all("FifoQueue" not in queue["Properties"] for queue in queues)


def test_what_comes_from_outside_outlives_the_stack(template: dict[str, Any]) -> None:
    kept = {
        name
        for name, resource in template["Resources"].items()
        if resource.get("DeletionPolicy") == "Retain"
    }

    assert kept == {"EventsQueue", "EventsDlqQueue"}


def test_names_of_extra_queues_make_names_of_resources() -> None:
    made = cloudformation.template([Queue("low_prio"), Queue("reports-2026")])["Resources"]

    assert {name for name in made if made[name]["Type"] == "AWS::SQS::Queue"} == {
        *("LowPrioQueue", "LowPrioDlqQueue", "Reports2026Queue", "Reports2026DlqQueue")
    }


def test_dead_letters_are_moved_back_by_what_the_web_policy_allows(settings: Settings) -> None:
    queue = DeadLetterQueue("events")
    with Stubber(queue._client) as stub:
        stub.add_response(
            "get_queue_url",
            {"QueueUrl": "https://sqs/1/events-dlq"},
            {"QueueName": sqs.full_name("events-dlq")},
        )
        stub.add_response(
            "get_queue_attributes",
            {"Attributes": {"QueueArn": "arn:aws:sqs:eu-central-1:1:events-dlq"}},
            {"QueueUrl": "https://sqs/1/events-dlq", "AttributeNames": ANY},
        )
        stub.add_response(
            "start_message_move_task",
            {"TaskHandle": "handle"},
            {
                "SourceArn": "arn:aws:sqs:eu-central-1:1:events-dlq",
                "MaxNumberOfMessagesPerSecond": ANY,
            },
        )
        assert queue.redrive().task == "handle"

    # AWS asks all of these of whoever starts a move:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
    allowed = granted(cloudformation.template(SHIPPED), "Web")
    for action in ("StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
        assert (f"sqs:{action}", "EventsDlqQueue") in allowed
    assert ("sqs:SendMessage", "EventsQueue") in allowed


# Least privilege ----------------------------------------------------------------------------------


def granted(template: dict[str, Any], process: str) -> set[tuple[str, str]]:
    """Return the (action, resource) pairs of a policy, a queue by its name in the template."""
    document = template["Resources"][f"{process}Policy"]["Properties"]["PolicyDocument"]
    pairs = set()
    for statement in document["Statement"]:
        assert statement["Effect"] == "Allow"
        found = statement["Resource"]
        names = ["*"] if found == "*" else [resource["Fn::GetAtt"][0] for resource in found]
        pairs |= {(action, name) for action in statement["Action"] for name in names}
    return pairs


@pytest.mark.parametrize("process", ["Web", "Worker", "Relay", "Beat", "Ingest", "Producer"])
def test_no_policy_is_wider_than_it_must_be(template: dict[str, Any], process: str) -> None:
    pairs = granted(template, process)

    assert not any("*" in action for action, _ in pairs)
    assert {action for action, name in pairs if name == "*"} <= {"cloudwatch:GetMetricData"}
    # Nobody makes, changes, empties or deletes a queue.
    assert not {action for action, _ in pairs} & {
        f"sqs:{verb}" for verb in ("CreateQueue", "DeleteQueue", "PurgeQueue", "SetQueueAttributes")
    }


def test_only_who_consumes_a_queue_may_take_from_it(template: dict[str, Any]) -> None:
    takes = {
        process: {
            name for action, name in granted(template, process) if action == "sqs:ReceiveMessage"
        }
        for process in ("Web", "Worker", "Relay", "Beat", "Ingest", "Producer")
    }

    assert takes.pop("Worker") == {
        cloudformation.logical_id(queue.name) for queue in SHIPPED if queue.consumed_by_worker
    }
    assert takes.pop("Ingest") == {"EventsQueue"}
    assert takes.pop("Web") == {"EventsDlqQueue"}
    assert set().union(*takes.values()) == set()


def test_only_producers_and_who_moves_dead_letters_back_may_send_events(
    template: dict[str, Any],
) -> None:
    senders = {
        process
        for process in ("Web", "Worker", "Relay", "Beat", "Ingest", "Producer")
        if ("sqs:SendMessage", "EventsQueue") in granted(template, process)
    }

    assert senders == {"Web", "Producer"}
