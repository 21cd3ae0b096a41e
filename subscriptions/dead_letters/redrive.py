"""The dead-letter queue of a queue of events: how much is in it, what, and back with it.

SQS moves a message there that was received `maxReceiveCount` times and never deleted: ingest could
not file it, though the database was there. That is our failure, not the message's.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from jobs import sqs
from subscriptions.errors import QueueUnreachable
from subscriptions.ingest.message import Message, received
from subscriptions.ingest.queue import BATCH

SUFFIX = "-dlq"
PEEK_SECONDS = 5  # for which the peeked ones are nobody else's, unless giving back succeeds
MOST_PEEKED = 50
HIGHEST_RATE = 500  # what StartMessageMoveTask takes
LARGEST_REQUEST = 200_000  # bytes: below SQS's limit, attributes included, also that of before 2025
MOVE_SECONDS = 10.0  # of a move by hand
NOT_OFFERED = (
    "InvalidAction",
    "UnsupportedOperation",
    "AWS.SimpleQueueService.UnsupportedOperation",
)
FAILURES = (BotoCoreError, ClientError, OSError)


def _sendable(found: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Split what is more than one request to SQS may hold."""
    size = sum(len(one["Body"].encode("utf-8", "surrogatepass")) for one in found)
    return [found] if size < LARGEST_REQUEST else [[one] for one in found]


@dataclass(frozen=True)
class Depth:
    """`oldest_at` is of those that were looked at, None if there were none."""

    visible: int
    held: int
    oldest_at: datetime | None = None
    peeked: list[Message] = field(default_factory=list)


@dataclass(frozen=True)
class Moved:
    """`task` is SQS's handle of a move that goes on; else `count` messages were moved."""

    count: int = 0
    task: str | None = None


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise QueueUnreachable(f"SQS: {error}") from error


class DeadLetterQueue:
    """The dead-letter queue of the queue of this name, without prefix."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._client = sqs.client(attempts=2)

    def look(self, *, most: int = BATCH) -> Depth:
        """Return its depth and some of its messages, which stay. Raises QueueUnreachable."""
        with _told():
            url = self._url(f"{self.name}{SUFFIX}")
            found = self._client.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                ],
            )["Attributes"]
            peeked = self._peek(url, min(most, MOST_PEEKED))
        return Depth(
            visible=int(found["ApproximateNumberOfMessages"]),
            held=int(found["ApproximateNumberOfMessagesNotVisible"]),
            oldest_at=min((message.sent_at for message in peeked), default=None),
            peeked=peeked,
        )

    def redrive(self, *, rate: int = HIGHEST_RATE) -> Moved:
        """Move its messages back to the queue, by SQS where it can. Raises QueueUnreachable."""
        with _told():
            source = self._url(f"{self.name}{SUFFIX}")
            try:
                answer = self._client.start_message_move_task(
                    SourceArn=self._arn(source), MaxNumberOfMessagesPerSecond=rate
                )
            except ClientError as error:
                if error.response["Error"]["Code"] not in NOT_OFFERED:
                    raise
                return Moved(count=self._move(source, self._url(self.name), rate))
        return Moved(task=answer.get("TaskHandle", ""))

    def _peek(self, url: str, most: int) -> list[Message]:
        peeked: dict[str, Message] = {}
        try:
            while len(peeked) < most:
                found = self._receive(url, seconds=PEEK_SECONDS)
                fresh = [message for message in found if message.id not in peeked]
                if not fresh:
                    break
                peeked |= {message.id: message for message in fresh}
        finally:
            self._give_back(url, list(peeked.values()))
        return sorted(peeked.values(), key=lambda message: message.sent_at)

    def _receive(self, url: str, *, seconds: int) -> list[Message]:
        answer = self._client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=seconds,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [received(found, queue=self.name) for found in answer.get("Messages", ())]

    def _give_back(self, url: str, messages: Sequence[Message]) -> None:
        for first in range(0, len(messages), BATCH):
            self._client.change_message_visibility_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": message.handle, "VisibilityTimeout": 0}
                    for n, message in enumerate(messages[first : first + BATCH])
                ],
            )

    def _move(self, source: str, target: str, rate: int) -> int:
        """Receive, send, delete: an endpoint without move tasks. Ends when it is empty, or time is
        up; a message that is sent and not deleted comes twice, and is known by then.
        """
        moved, began = 0, time.monotonic()
        while time.monotonic() - began < MOVE_SECONDS:
            answer = self._client.receive_message(
                QueueUrl=source, MaxNumberOfMessages=BATCH, MessageAttributeNames=["All"]
            )
            found = answer.get("Messages", [])
            if not found:
                break
            for part in _sendable(found):
                moved += self._move_batch(source, target, part)
            time.sleep(max(0.0, began + moved / rate - time.monotonic()))
        return moved

    def _move_batch(self, source: str, target: str, found: list[dict[str, Any]]) -> int:
        entries = [
            {
                "Id": str(n),
                "MessageBody": one["Body"],
                "MessageAttributes": one.get("MessageAttributes", {}),
            }
            for n, one in enumerate(found)
        ]
        answer = self._client.send_message_batch(QueueUrl=target, Entries=entries)
        sent = [found[int(one["Id"])] for one in answer.get("Successful", ())]
        if sent:
            self._client.delete_message_batch(
                QueueUrl=source,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": one["ReceiptHandle"]}
                    for n, one in enumerate(sent)
                ],
            )
        return len(sent)

    def _url(self, name: str) -> str:
        found = sqs.find(self._client, name)
        if found is None:
            raise QueueUnreachable(f"SQS queue {sqs.full_name(name)} does not exist")
        return found

    def _arn(self, url: str) -> str:
        found = self._client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(found["Attributes"]["QueueArn"])
