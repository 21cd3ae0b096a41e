"""Speak to SQS outside Celery: the client, and where a queue is."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from django.conf import settings

USER_AGENT = f"Counterpoint boto3/{boto3.__version__}"
NOT_THERE = ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")


# boto3 generates a client's methods from the service's model at run time: there is no type for it.
def client(
    *,
    connect_seconds: float = 5.0,
    read_seconds: float = 30.0,
    attempts: int = 3,
    is_checking: bool = True,
) -> Any:
    """Return a new SQS client for the configured endpoint; threads may share it.

    `read_seconds` must be above the long poll's 20 s where messages are received. Who makes the
    same requests over and over may have it not check their parameters.
    """
    return boto3.session.Session(region_name=settings.AWS_REGION).client(
        "sqs",
        endpoint_url=settings.SQS_ENDPOINT_URL or None,
        config=Config(
            # botocore's own is put together anew for each request, and takes a tenth of its time.
            user_agent=USER_AGENT,
            parameter_validation=is_checking,
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
