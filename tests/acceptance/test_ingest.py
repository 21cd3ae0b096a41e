"""The Procfile's ingest process, on a queue of SQS."""

import json
import signal
from typing import Any

import pytest
from django.db import connection

from jobs import sqs
from subscriptions.models import DeadLetter, Event
from tests.acceptance.conftest import Platform
from tests.waiting import wait_until


@pytest.fixture
def client(platform: Platform) -> Any:
    platform.environment["EXTRA_APPS"] = "tests.acceptance.event_app"
    return sqs.client()


def send(client: Any, *bodies: str, name: str = "events") -> None:
    for body in bodies:
        client.send_message(QueueUrl=sqs.find(client, name), MessageBody=body)


def payment(order: str) -> str:
    payload = {"order": order, "cents": 700, "companyId": "acme"}
    return json.dumps({"type": "payment.received", "payload": payload})


def left(client: Any, name: str = "events") -> dict[str, str]:
    """Return how many messages the queue has, and how many somebody holds."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found: dict[str, str] = client.get_queue_attributes(
        QueueUrl=sqs.find(client, name), AttributeNames=names
    )["Attributes"]
    return found


def is_empty(client: Any, name: str = "events") -> bool:
    return set(left(client, name).values()) == {"0"}


def test_messages_become_events_and_dead_letters_and_leave_the_queue(
    platform: Platform, client: Any
) -> None:
    deep = "[" * 10_000 + "]" * 10_000
    large = [payment("x" * 250_000), payment("y" * (1024 * 1024 - 200))]
    wide = json.dumps({f"field{n}": n for n in range(10_000)})
    send(client, payment("o-1"), deep, wide, payment("o-2"), "no json", *large, payment("o-3"))

    platform.start("ingest")

    wait_until(lambda: is_empty(client), what="the queue is empty")
    orders = {event.payload["order"] for event in Event.objects.all()}
    assert {order for order in orders if len(order) < 10} == {"o-1", "o-2", "o-3"}
    assert len(orders) == 5
    reasons = list(DeadLetter.objects.order_by("reason").values_list("reason", flat=True))
    assert reasons == ["bad_envelope", "not_json", "too_deep"]
    assert platform.services.processes.codes()["ingest"] is None


def test_it_waits_for_the_database_and_spends_no_receive_on_it(
    platform: Platform, client: Any
) -> None:
    platform.start("ingest")
    send(client, payment("o-1"))
    wait_until(lambda: Event.objects.count() == 1, what="it works")

    connection.close()
    platform.services.processes.send_signal("postgres", signal.SIGINT)
    platform.services.processes.wait("postgres")
    wait_until(lambda: "waits_for_database" in platform.log("ingest"), what="it waits")
    send(client, payment("o-2"))
    platform.services.restart("postgres")

    wait_until(lambda: "ingest_goes_on" in platform.log("ingest"), what="it goes on")
    wait_until(lambda: is_empty(client), what="the queue is empty")
    assert platform.log("ingest").count("ingest_waits_for_database") == 1


def test_told_to_stop_it_ends_within_five_seconds_and_holds_nothing(
    platform: Platform, client: Any
) -> None:
    send(client, payment("o-1"))
    platform.start("ingest")
    wait_until(lambda: is_empty(client), what="it works")

    platform.services.processes.send_signal("ingest", signal.SIGTERM)
    send(client, *map(payment, "abc"))  # into a long poll that is under way
    code = platform.services.processes.wait("ingest", seconds=5)

    assert code == 0
    held = left(client)
    assert held["ApproximateNumberOfMessagesNotVisible"] == "0"
    assert Event.objects.count() + int(held["ApproximateNumberOfMessages"]) == 4


def test_a_queue_of_a_company_is_read_beside_the_others(platform: Platform, client: Any) -> None:
    url = client.create_queue(QueueName=sqs.full_name("events-globex"))["QueueUrl"]
    body = json.dumps({"type": "payment.received", "payload": {"order": "o-1", "cents": 1}})
    client.send_message(QueueUrl=url, MessageBody=body)
    send(client, body)

    platform.start("ingest", INGEST_QUEUE_COMPANIES="events-globex=globex", INGEST_THREADS="1")

    wait_until(lambda: is_empty(client) and is_empty(client, "events-globex"), what="both empty")
    assert Event.objects.get().company == "globex"
    assert DeadLetter.objects.get().reason == "no_company"
