"""The declared queues and their dead-letter queues, on a real SQS protocol."""

import io
import json
import shlex
import uuid
from dataclasses import replace
from typing import Any

import pytest
from celery import current_app
from django.core.management import CommandError, call_command
from django.test import override_settings
from pytest_django import Settings

from counterpoint import probes, provision, sqs
from counterpoint.celeryconfig import broker_transport_options
from counterpoint.queues import SHIPPED, Queue, declared
from subscriptions.checks import event_queues_are_no_workers


@pytest.fixture
def client(settings: Settings) -> Any:
    """A client, and queues that no other test sees."""
    settings.SQS_QUEUE_PREFIX = f"test-{uuid.uuid4().hex[:8]}-"
    return sqs.client()


def ensure_queues() -> str:
    output = io.StringIO()
    call_command("ensure_queues", stdout=output)
    return output.getvalue()


def attributes(client: Any, name: str) -> dict[str, str]:
    found: dict[str, str] = client.get_queue_attributes(
        QueueUrl=sqs.find(client, name), AttributeNames=["All"]
    )["Attributes"]
    return found


def test_every_queue_gets_its_dead_letter_queue(client: Any) -> None:
    ensure_queues()

    for queue in SHIPPED:
        found = attributes(client, queue.name)
        policy = json.loads(found["RedrivePolicy"])
        dead_letters = attributes(client, queue.dead_letter_name)
        assert policy["deadLetterTargetArn"] == dead_letters["QueueArn"]
        assert int(policy["maxReceiveCount"]) == queue.max_receive_count
        assert int(found["VisibilityTimeout"]) == queue.visibility.total_seconds()
        assert dead_letters["MessageRetentionPeriod"] == str(14 * 24 * 3600)


@pytest.mark.usefixtures("client")
def test_a_second_run_creates_nothing() -> None:
    first, second = ensure_queues(), ensure_queues()

    assert first.endswith(f"{2 * len(SHIPPED)} created, 0 as declared\n")
    assert second == f"0 created, {2 * len(SHIPPED)} as declared\n"


def test_a_queue_that_differs_is_named_and_left_as_it_is(client: Any) -> None:
    ensure_queues()
    url = sqs.find(client, "orders")
    client.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "7"})

    with pytest.raises(CommandError, match="-orders exists with other attributes") as refused:
        ensure_queues()

    assert "VisibilityTimeout is 7, declared is 1800" in str(refused.value)
    assert attributes(client, "orders")["VisibilityTimeout"] == "7"


def test_a_refusal_names_every_difference_and_the_command_that_ends_it(client: Any) -> None:
    ensure_queues()
    url = sqs.find(client, "orders")
    changed = {"VisibilityTimeout": "7", "MessageRetentionPeriod": "60"}
    client.set_queue_attributes(QueueUrl=url, Attributes={**changed, "RedrivePolicy": ""})

    with pytest.raises(CommandError) as refused:
        ensure_queues()

    said = str(refused.value)
    assert "RedrivePolicy is not set" in said
    assert "MessageRetentionPeriod is 60, declared is 345600" in said
    (line,) = (line.strip() for line in said.splitlines() if "set-queue-attributes" in line)
    words = shlex.split(line)
    assert words[:5] == ["aws", "sqs", "set-queue-attributes", "--queue-url", url]
    client.set_queue_attributes(QueueUrl=url, Attributes=json.loads(words[-1]))
    assert ensure_queues() == f"0 created, {2 * len(SHIPPED)} as declared\n"


def test_a_queue_without_redrive_policy_is_refused(client: Any) -> None:
    client.create_queue(QueueName=sqs.full_name("orders"))

    with pytest.raises(CommandError, match="RedrivePolicy is not set, declared is"):
        ensure_queues()


def test_no_problem_is_seen_when_all_is_as_declared(client: Any) -> None:
    ensure_queues()

    assert provision.problems(client, SHIPPED) == []
    assert probes.queues() is None


def test_a_queue_whose_dead_letter_queue_is_gone_is_a_problem(client: Any) -> None:
    ensure_queues()
    client.delete_queue(QueueUrl=sqs.find(client, "orders-dlq"))

    problem = probes.queues()

    assert problem is not None
    assert f"{sqs.full_name('orders')} is without its dead-letter queue" in problem
    assert problem.endswith(": run manage.py ensure_queues")


def test_a_queue_without_any_dead_letter_queue_is_a_problem(client: Any) -> None:
    client.create_queue(QueueName=sqs.full_name("plain"))

    assert provision.problems(client, [Queue("plain")]) == [
        f"SQS queue {sqs.full_name('plain')} is without its dead-letter queue "
        f"{sqs.full_name('plain-dlq')}"
    ]


@pytest.mark.usefixtures("client")
def test_all_missing_queues_make_one_line() -> None:
    problem = probes.queues()

    assert problem is not None
    others = len(SHIPPED) - 1
    assert f"-default does not exist (and {others} more): run manage.py ensure_queues" in problem


def test_celery_finds_a_queue_that_is_created_later(client: Any) -> None:
    urls = sqs.QueueUrls()
    assert list(urls.items()) == []

    ensure_queues()

    assert dict(urls.items()).keys() == {sqs.full_name(queue.name) for queue in SHIPPED}
    assert urls[sqs.full_name("orders")] == {"url": sqs.find(client, "orders")}


def test_celery_creates_no_queue_of_its_own() -> None:
    assert isinstance(broker_transport_options["predefined_queues"], sqs.QueueUrls)
    assert current_app.conf.task_create_missing_queues is False


def test_extra_queues_join_the_shipped_ones_once() -> None:
    queues = declared(["reports", "orders", "reports"])

    assert [queue.name for queue in queues] == [*(queue.name for queue in SHIPPED), "reports"]


@override_settings(SQS_ENDPOINT_URL="http://127.0.0.1:9")
def test_an_endpoint_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_client", lambda: sqs.client(connect_seconds=1, attempts=1))

    problem = probes.queues()

    assert problem is not None
    assert problem.startswith("SQS_ENDPOINT_URL: ")


def test_a_company_s_queue_of_events_is_like_the_shared_one_and_no_worker_s() -> None:
    found = {queue.name: queue for queue in declared([], of_events=["events", "events-acme"])}

    assert found["events-acme"] == replace(found["events"], name="events-acme")
    assert not found["events-acme"].consumed_by_worker
    assert len(found) == len(SHIPPED) + 1


@override_settings(INGEST_QUEUE_COMPANIES={"orders": "acme", "events": "acme"})
def test_a_worker_s_queue_cannot_be_a_queue_of_events() -> None:
    [problem] = event_queues_are_no_workers()

    assert problem.id == "subscriptions.E002"
    assert "'orders', which workers consume" in problem.msg


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--queue", "orders"], "no queue of events: orders"), (["--threads", "0"], "at least 1")],
)
def test_ingest_refuses_what_it_cannot_read(arguments: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("ingest", *arguments)
