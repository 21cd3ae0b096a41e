"""Messages in batches on the real SQS protocol, and the message groups they carry."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from celery import Celery
from django.core.management import call_command
from kombu.exceptions import BatchPublishError  # type: ignore[attr-defined] # stubs of before 5.7
from pytest_django import Settings

from counterpoint import celeryconfig, sqs
from counterpoint.batching import group_id
from counterpoint.sqs import QueueUrls
from jobs import dispatch
from jobs.ids import uuid7
from tests.waiting import wait_until


@pytest.fixture
def sender(settings: Settings) -> Iterator[Celery]:
    """An application on queues of this test's own."""
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    call_command("ensure_queues", verbosity=0)
    app = Celery("sender", set_as_current=False)
    app.config_from_object(celeryconfig)
    app.conf.broker_transport_options = {
        **celeryconfig.broker_transport_options,
        "queue_name_prefix": settings.SQS_QUEUE_PREFIX,
        "predefined_queues": QueueUrls(),
    }
    yield app
    app.close()


def received(queue: str, count: int) -> list[dict[str, Any]]:
    """Take that many messages off the queue, in the order of their first arguments."""
    client = sqs.client()
    url = sqs.find(client, queue)
    found: list[dict[str, Any]] = []

    def receive() -> bool:
        answer = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
        )
        found.extend(answer.get("Messages", ()))
        return len(found) >= count

    wait_until(receive, what=f"{count} messages")
    assert len(found) == count
    return sorted(found, key=lambda message: arguments(message)[0])


def arguments(message: dict[str, Any]) -> list[Any]:
    body = json.loads(message["Body"])["body"]
    found: list[Any] = json.loads(base64.b64decode(body))[0]
    return found


def shape(message: dict[str, Any]) -> Any:
    """Return the message without what differs from one sending to the next."""
    parsed = json.loads(message["Body"])
    parsed["headers"] |= dict.fromkeys(["id", "root_id"])
    parsed["properties"] |= dict.fromkeys(["correlation_id", "delivery_tag"])
    return parsed


def test_a_batched_message_is_what_celery_sends_alone(sender: Celery) -> None:
    def publish(around: Callable[[Any], AbstractContextManager[Any]], queue: str) -> None:
        with sender.connection_for_write() as connection:
            producer: Any = sender.amqp.Producer(connection, auto_declare=False)
            with around(producer):
                for number in range(23):
                    sender.send_task("some.task", [number], queue=queue, producer=producer)

    publish(lambda _: nullcontext(), "orders")
    alone = [shape(message) for message in received("orders", 23)]
    publish(lambda producer: producer.batch(max_size=100), "orders")
    batched = [shape(message) for message in received("orders", 23)]

    assert batched == alone


def test_a_queue_that_is_not_there_holds_up_no_other(sender: Celery) -> None:
    client = sqs.client()
    with sender.connection_for_write() as connection:
        producer: Any = sender.amqp.Producer(connection, auto_declare=False)
        sender.send_task("some.task", [-1], queue="webhooks", producer=producer)  # it knows the URL
        client.delete_queue(QueueUrl=sqs.find(client, "webhooks"))

        def publish() -> None:
            with producer.batch():
                for number in range(15):
                    sender.send_task("some.task", [number], queue="webhooks", producer=producer)
                    sender.send_task("some.task", [number], queue="orders", producer=producer)

        with pytest.raises(BatchPublishError, match=r"15 to .*-webhooks"):
            publish()

    assert [arguments(message) for message in received("orders", 15)] == [[n] for n in range(15)]


def test_large_messages_are_spread_over_requests(sender: Celery) -> None:
    with sender.connection_for_write() as connection:
        producer: Any = sender.amqp.Producer(connection, auto_declare=False)
        with producer.batch():
            for number in range(5):
                sender.send_task(
                    "some.task", [number, "x" * 150_000], queue="orders", producer=producer
                )

    assert [arguments(message)[0] for message in received("orders", 5)] == list(range(5))


def test_a_wake_up_carries_its_ids_and_its_companys_group(
    sender: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "current_app", sender)
    monkeypatch.setattr(dispatch, "_outgoing", dispatch._begin())
    companies = ["acme", "Käse & Söhne", None, "a b"]
    run_ids = sorted([uuid7() for _ in companies], key=str)

    dispatch.send(
        [
            dispatch.WakeUp(number, run_id, "some-step", "orders", company)
            for number, (run_id, company) in enumerate(zip(run_ids, companies, strict=True))
        ]
    )

    messages = received("orders", len(companies))
    assert [arguments(message) for message in messages] == [
        [str(run_id), number] for number, run_id in enumerate(run_ids)
    ]
    assert [message["Attributes"].get("MessageGroupId") for message in messages] == [
        group_id(company) if company else None for company in companies
    ]


@pytest.mark.parametrize("company", ["acme", "x" * 128, "a/b:c@d.e[1]{2}~!`^_-"])
def test_a_group_is_the_companys_own_text_where_sqs_takes_that(company: str) -> None:
    assert group_id(company) == company


@pytest.mark.parametrize("company", ["Käse", "a b", "\x7f", "x" * 129, "\n", "acme\n"])
def test_any_other_company_has_a_group_too(company: str) -> None:
    assert len(group_id(company)) == 64
    assert group_id(company) != group_id(company + "!")
