"""The dead-letter queue of SQS: looked at without taking anything, and moved back."""

import uuid
from typing import Any

import pytest
from botocore.stub import Stubber
from pytest_django import Settings

from jobs import sqs
from subscriptions.dead_letters.redrive import DeadLetterQueue, Moved
from subscriptions.errors import QueueUnreachable


@pytest.fixture
def client(settings: Settings) -> Any:
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    return sqs.client()


@pytest.fixture
def queues(client: Any) -> dict[str, str]:
    names = ("events", "events-dlq")
    return {name: client.create_queue(QueueName=sqs.full_name(name))["QueueUrl"] for name in names}


def depth(client: Any, url: str) -> dict[str, str]:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found: dict[str, str] = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)[
        "Attributes"
    ]
    return found


def test_a_look_shows_depth_and_messages_and_takes_none(
    client: Any, queues: dict[str, str]
) -> None:
    for n in range(3):
        client.send_message(QueueUrl=queues["events-dlq"], MessageBody=f"lost {n}")

    found = DeadLetterQueue("events").look()

    assert (found.visible, len(found.peeked)) == (3, 3)
    assert {message.body for message in found.peeked} == {"lost 0", "lost 1", "lost 2"}
    assert found.oldest_at == min(message.sent_at for message in found.peeked)
    assert set(depth(client, queues["events-dlq"]).values()) == {"3", "0"}


def test_an_endpoint_without_move_tasks_is_served_by_hand(
    client: Any, queues: dict[str, str]
) -> None:
    trace = {"trace": {"DataType": "String", "StringValue": "t-1"}}
    for n in range(12):
        client.send_message(
            QueueUrl=queues["events-dlq"],
            MessageBody="x" * 100_000 if n == 0 else f"lost {n}",
            MessageAttributes=trace,
        )

    assert DeadLetterQueue("events").redrive() == Moved(count=12)

    assert set(depth(client, queues["events-dlq"]).values()) == {"0"}
    assert depth(client, queues["events"])["ApproximateNumberOfMessages"] == "12"
    [back] = client.receive_message(
        QueueUrl=queues["events"], MaxNumberOfMessages=1, MessageAttributeNames=["All"]
    )["Messages"]
    assert back["MessageAttributes"]["trace"]["StringValue"] == "t-1"


def test_sqs_moves_them_itself_where_it_can(queues: dict[str, str]) -> None:
    queue = DeadLetterQueue("events")
    arn = "arn:aws:sqs:eu-central-1:000000000000:events-dlq"
    with Stubber(queue._client) as stub:
        stub.add_response("get_queue_url", {"QueueUrl": queues["events-dlq"]})
        stub.add_response("get_queue_attributes", {"Attributes": {"QueueArn": arn}})
        stub.add_response(
            "start_message_move_task",
            {"TaskHandle": "task-1"},
            {"SourceArn": arn, "MaxNumberOfMessagesPerSecond": 20},
        )

        assert queue.redrive(rate=20) == Moved(task="task-1")


def test_a_queue_that_is_not_there_is_named(client: Any) -> None:
    with pytest.raises(QueueUnreachable, match="events-dlq does not exist"):
        DeadLetterQueue("events").look()
