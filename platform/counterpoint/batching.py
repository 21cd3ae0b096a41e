"""Publish to SQS in batches, and for whom: what kombu's SQS transport leaves out.

kombu's `Producer.batch()` asks a channel for such a batch; other transports have their own or none,
so that whoever publishes need not know.
"""

import hashlib
import re
from collections import Counter, defaultdict
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from kombu.exceptions import BatchPublishError  # type: ignore[attr-defined] # stubs of before 5.7

ENTRIES = 10  # the most that SQS takes in one request
BYTES = 256 * 1024  # of bodies in one request; SQS takes 1 MiB with everything around them

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
GROUP_ID = re.compile(r"[A-Za-z0-9!-/:-@\[-`{-~]{1,128}")


def group_id(company: str) -> str:
    """Return the `MessageGroupId` of a company: its own text where SQS takes that, else a hash."""
    if GROUP_ID.fullmatch(company):
        return company
    return hashlib.sha256(company.encode("utf-8", "surrogatepass")).hexdigest()


class PublishBatch:
    """Collects what a channel would send and sends it by tens, each queue's apart.

    A request that fails holds up nothing else, and its queue is not tried again by this batch: what
    SQS did not take is said at the end, in one `BatchPublishError`.
    """

    def __init__(self, channel: Any, max_size: int) -> None:
        self.channel = channel
        self._full = min(ENTRIES, max_size)
        self._entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._unsent: Counter[str] = Counter()
        self._problems: dict[str, str] = {}

    def publish(self, message: Any, **options: Any) -> Any:
        """Prepare one message; sends what has come to a full request."""
        return self.channel.basic_publish(message, _publish_batch=self, **options)

    def send_message(self, *, QueueUrl: str, **entry: Any) -> None:  # noqa: N803 - boto3's name
        """Take a message as boto3's client would."""
        if QueueUrl in self._problems:
            self._unsent[QueueUrl] += 1
            return
        if sum(map(_size, [*self._entries[QueueUrl], entry])) > BYTES:
            self._send(QueueUrl)
        entries = self._entries[QueueUrl]
        entries.append({"Id": str(len(entries)), **entry})
        if len(entries) >= self._full:
            self._send(QueueUrl)

    def flush(self) -> None:
        """Send what waits; raises BatchPublishError for all that SQS did not take so far."""
        for url in list(self._entries):
            self._send(url)
        if self._unsent:
            lines = [
                f"{count} to {_name(url)} ({self._problems.get(url, 'not taken')})"
                for url, count in self._unsent.items()
            ]
            self._unsent.clear()
            raise BatchPublishError(f"messages not sent: {', '.join(lines)}")

    def discard(self) -> None:
        """Forget what has not been sent."""
        self._entries.clear()

    close = discard

    def _send(self, url: str) -> None:
        entries = self._entries.pop(url, [])
        if not entries:
            return
        client = self.channel.client(_name(url))
        try:
            answer = client.send_message_batch(QueueUrl=url, Entries=entries)
        except (BotoCoreError, ClientError, OSError) as error:
            self._unsent[url] += len(entries)
            self._problems[url] = str(error)
        else:
            self._unsent += Counter({url: len(answer.get("Failed", ()))})


def _name(url: str) -> str:
    return url.rpartition("/")[2]


def _size(entry: dict[str, Any]) -> int:
    return len(entry["MessageBody"])
