"""Speak to SQS outside Celery: the client, and where each declared queue is."""

from collections.abc import ItemsView, Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from counterpoint.env import SettingError

NOT_THERE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


# boto3 generates a client's methods from the service's model at run time: there is no type for it.
def client(*, connect_seconds: float = 5.0, read_seconds: float = 30.0, attempts: int = 3) -> Any:
    """Return a new SQS client for the configured endpoint; threads may share it.

    `read_seconds` must be above the long poll's 20 s where messages are received.
    """
    return boto3.session.Session(region_name=settings.AWS_REGION).client(
        "sqs",
        endpoint_url=settings.SQS_ENDPOINT_URL or None,
        config=Config(
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            retries={"mode": "standard", "max_attempts": attempts},
        ),
    )


def full_name(name: str) -> str:
    """Return the name of a queue as SQS knows it."""
    return f"{settings.SQS_QUEUE_PREFIX}{name}"


def find(sqs: Any, name: str) -> str | None:
    """Return the URL of a queue, given its name without prefix, or None if it does not exist."""
    try:
        return str(sqs.get_queue_url(QueueName=full_name(name))["QueueUrl"])
    except ClientError as error:
        if error.response["Error"]["Code"] in NOT_THERE:
            return None
        raise


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a failure to reach SQS, or to be let in, into a SettingError."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise SettingError("SQS_ENDPOINT_URL", f"SQS does not serve us ({error})") from error


class QueueUrls(dict[str, dict[str, str]]):
    """kombu's `predefined_queues`, looked up when kombu lists them: full name → {"url": …}.

    With predefined queues kombu neither lists nor creates any in SQS: it would create them without
    a dead-letter queue, and its processes would need the permissions for both. A queue that does
    not exist is left out and looked up again when kombu misses it. One request per queue and
    process.

    A dict, because a worker's remote control answers with it as JSON.
    """

    def items(self) -> ItemsView[str, dict[str, str]]:  # type: ignore[override] # dict_items is final
        """Return what is known, after looking for what is not."""
        missing = [queue.name for queue in settings.QUEUES if full_name(queue.name) not in self]
        sqs = client() if missing else None
        for name in missing:
            url = find(sqs, name)
            if url is not None:
                self[full_name(name)] = {"url": url}
        return super().items()

    def __bool__(self) -> bool:
        return True  # kombu asks whether there are any before it lists them
