"""Take in messages in one process, and do what is to stand beside that: receive and delete."""

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import boto3
import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
django.setup()

from django.conf import settings  # noqa: E402 - they are set only now
from django.db import connection  # noqa: E402 - likewise the models

from bench.errors import BenchError  # noqa: E402
from jobs import sqs  # noqa: E402
from subscriptions.ingest.companies import Companies  # noqa: E402
from subscriptions.ingest.filing import Filed  # noqa: E402
from subscriptions.ingest.outage import Outage  # noqa: E402
from subscriptions.ingest.process import keep_what_is_loaded  # noqa: E402
from subscriptions.ingest.receiving import Crew, Receiver  # noqa: E402

QUEUE = "events"
BATCH = 10
SENDERS = 2
POLL_SECONDS = 1
WARMING = 0.2  # of the messages
_numbers = count(1)


class Tally:
    """Counts what all threads have done, and stops them when that is enough.

    The clock starts when a share is done: threads have connected then, and statements are planned,
    which a process does once in its life.
    """

    def __init__(self, enough: int) -> None:
        self.stop = threading.Event()
        self.found = 0
        self._enough = enough
        self._began: tuple[float, int] | None = None
        self._ended = 0.0
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        with self._lock:
            self.found += number
            if self._began is None and self.found >= self._enough * WARMING:
                self._began = (time.perf_counter(), self.found)
            if self.found >= self._enough and not self.stop.is_set():
                self._ended = time.perf_counter()
                self.stop.set()

    @property
    def rate(self) -> float:
        """How many a second, from the clock's start to the end. Raises BenchError without one."""
        if self._began is None or not self._ended:
            raise BenchError(f"{self.found} of {self._enough} messages")
        at, found = self._began
        return (self._enough - found) / (self._ended - at)

    def add_filed(self, filed: Filed) -> None:
        self.add(filed.events)


def fill(messages: int) -> None:
    """Send so many messages of the short contract, each with an id of its own."""
    bodies = [_body(next(_numbers)) for _ in range(messages)]
    _run([lambda part=bodies[n::SENDERS]: _send(part) for n in range(SENDERS)])  # type: ignore[misc]


def ingest(messages: int, threads: int) -> float:
    """Take in so many messages with the threads of one process; return how many a second."""
    tally, busy = Tally(messages), threading.Event()
    crew = Crew(tally.stop, Outage(tally.stop), Companies(), tally.add_filed, busy)
    receivers = [Receiver(QUEUE, crew, is_helper=number > 0) for number in range(threads)]
    _run([receiver.run for receiver in receivers])
    return tally.rate


def bare(messages: int, threads: int) -> float:
    """Receive and delete so many messages in as many threads; return how many a second."""
    tally = Tally(messages)
    clients = [_plain_client() for _ in range(threads)]
    _run([lambda client=client: _bare(client, tally) for client in clients])  # type: ignore[misc]
    return tally.rate


def clear() -> None:
    """Forget what was taken in, and what was not."""
    keep_what_is_loaded()  # as the process does; the bare threads have it, too
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE event_system_inbox, event_system_event, event_system_dead_letter")
    client = sqs.client()
    client.purge_queue(QueueUrl=sqs.find(client, QUEUE))


def _run(loops: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _send(bodies: Sequence[str]) -> None:
    client = sqs.client()
    url = sqs.find(client, QUEUE)
    for first in range(0, len(bodies), BATCH):
        part = enumerate(bodies[first : first + BATCH])
        entries = [{"Id": str(n), "MessageBody": body} for n, body in part]
        client.send_message_batch(QueueUrl=url, Entries=entries)


def _plain_client() -> Any:
    """Return a client as anybody would make one."""
    session = boto3.session.Session(region_name=settings.AWS_REGION)
    return session.client("sqs", endpoint_url=settings.SQS_ENDPOINT_URL or None)


def _bare(client: Any, tally: Tally) -> None:
    url = sqs.find(client, QUEUE)
    while not tally.stop.is_set():
        answer = client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=POLL_SECONDS
        )
        if found := answer.get("Messages", []):
            entries = [
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(found)
            ]
            client.delete_message_batch(QueueUrl=url, Entries=entries)
            tally.add(len(found))


def _body(number: int) -> str:
    payload = {"number": number, "companyId": f"c{number % 100}"}
    return json.dumps(
        {
            "type": "bench.happened",
            "id": f"bench-{number}",
            "payload": payload,
            "timestamp": "2024-04-14T14:00:00Z",
            "attempts": 1,
        }
    )


HANDLERS: dict[str, Any] = {function.__name__: function for function in (fill, ingest, bare, clear)}
