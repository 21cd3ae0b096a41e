"""Garbage on the queues, and SQS away: the worker goes on."""

import base64
import json
from typing import Any

from django.core.management import call_command

from counterpoint import sqs
from tests.platform.conftest import Workers
from tests.waiting import wait_until

HEADERS: dict[str, Any] = {"task": "probe.touch", "id": "1", "lang": "py", "argsrepr": "()"}


def envelope(payload: Any, **headers: Any) -> str:
    """Return a message of Celery's protocol 2 as kombu writes it, with the headers given."""
    body = json.dumps(payload).encode()
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {**HEADERS, **headers},
            "properties": {
                "body_encoding": "base64",
                "correlation_id": "1",
                "delivery_info": {"exchange": "default", "routing_key": "default"},
                "delivery_tag": "1",
                "priority": 0,
            },
        }
    )


GARBAGE = {
    "not json": "hello",
    "a json list": "[1]",
    "nothing in it": "{}",
    "no payload": envelope({}),
    "a time limit of letters": envelope([[], {}, {}], timelimit=["a", "b"]),
    "an id that is an object": envelope([[], {}, {}], id={"a": 1}),
    "headers that are a list": json.dumps({**json.loads(envelope([[], {}, {}])), "headers": [1]}),
    "properties that are a text": json.dumps(
        {**json.loads(envelope([[], {}, {}])), "properties": "x"}
    ),
    "an unknown task": envelope([[], {}, {}], task="no.such.task"),
}


def test_garbage_ends_no_worker_and_holds_up_no_task(workers: Workers) -> None:
    workers.start("sorter")
    client = sqs.client()
    url = client.get_queue_url(QueueName=sqs.full_name("default"))["QueueUrl"]
    # More than the worker may hold at a time: each must be let go of.
    for body in [*GARBAGE.values()] * 3:
        client.send_message(QueueUrl=url, MessageBody=body)

    workers.run_tasks("after-the-garbage")

    workers.services.processes.require("sorter")


def test_a_worker_outlives_sqs_being_away_and_its_refusals(workers: Workers) -> None:
    workers.start("waiter")
    log = workers.services.processes.logs / "waiter.log"

    workers.services.processes.kill("sqs")
    try:
        wait_until(lambda: "no answer from SQS" in log.read_text(), what="the worker notices")
    finally:
        workers.services.restart("sqs")
        # The emulator has forgotten the queues: each poll is refused until there are some.
        wait_until(lambda: "SQS refused a poll" in log.read_text(), what="a refusal")
        call_command("ensure_queues", verbosity=0)

    workers.run_tasks("after-the-outage")
    workers.services.processes.require("waiter")
