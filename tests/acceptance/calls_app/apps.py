"""Note what each process asks of AWS, for the test of its policy."""

import os
import sys
from pathlib import Path
from typing import Any

from botocore.client import BaseClient
from django.apps import AppConfig
from kombu.asynchronous.aws.sqs.connection import AsyncSQSConnection

PROCESSES = ("worker", "relay", "beat", "ingest", "gunicorn")
FILE = "CALLS_FILE"


class CallsConfig(AppConfig):
    name = "tests.acceptance.calls_app"

    def ready(self) -> None:
        path = os.environ.get(FILE)
        if path:
            note_calls(Path(path), process=_process())


def _process() -> str:
    words = {Path(word).name for word in sys.argv}
    return next((name for name in PROCESSES if name in words), "other")


def note_calls(path: Path, *, process: str) -> None:
    """Append a line for each request: process, service, operation, and the queue or `*`.

    A worker receives by kombu's own connection, everything else goes through boto3's clients.
    """
    call, receive = BaseClient._make_api_call, AsyncSQSConnection.make_request

    def note(service: str, operation: str, queue: str) -> None:
        name = queue.replace(":", "/").rpartition("/")[2]
        with path.open("a") as file:  # one write of a short line is whole
            file.write(f"{process} {service} {operation} {name}\n")

    def calling(self: Any, operation: str, given: dict[str, Any]) -> Any:
        queue = given.get("QueueUrl") or given.get("QueueName") or given.get("SourceArn") or "*"
        note(self.meta.service_model.service_name, operation, str(queue))
        return call(self, operation, given)

    def receiving(
        self: Any, operation: str, given: Any, queue: str, *rest: Any, **more: Any
    ) -> Any:
        note("sqs", operation, queue)
        return receive(self, operation, given, queue, *rest, **more)

    BaseClient._make_api_call = calling
    connection: Any = AsyncSQSConnection
    connection.make_request = receiving
