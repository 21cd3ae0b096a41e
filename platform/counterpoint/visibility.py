"""Keep the messages that a worker holds invisible to others for as long as it holds them.

SQS hands a message out again when its visibility time-out has passed, whoever is still at work on
it, and kombu never extends that. Here a thread of the worker's main process does, every third of
each queue's time-out, for all messages received and not yet acknowledged, until a warm shutdown has
ended. SQS extends to 12 hours from the receipt at most: a longer step gets a second message, which
finds its row taken.
"""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from celery import bootsteps
from celery.utils.log import get_logger
from celery.worker.consumer.tasks import Tasks
from django.conf import settings

from counterpoint import sqs
from counterpoint.queues import Queue

logger = get_logger(__name__)

BATCH = 10  # the most that SQS takes in one request
REQUEST_SECONDS = 5.0
RETRY_SECONDS = 1.0


class VisibilityHeart(threading.Thread):
    """Extends the visibility of what a channel holds; survives SQS being away."""

    def __init__(self, channel: Any, queues: Sequence[Queue]) -> None:
        super().__init__(name="counterpoint-visibility", daemon=True)
        self._channel = channel
        self._queues = queues
        self._stopping = threading.Event()
        self._client: Any = None

    def run(self) -> None:
        """Extend each queue's messages when it is due, until stopped."""
        due = {queue: time.monotonic() + _interval(queue) for queue in self._queues}
        while due and not self._stopping.wait(max(0.0, min(due.values()) - time.monotonic())):
            for queue in [queue for queue, at in due.items() if at <= time.monotonic()]:
                pause = _interval(queue)
                if not self._beat(queue):
                    pause = min(pause, RETRY_SECONDS)
                due[queue] = time.monotonic() + pause

    def stop(self) -> None:
        """Ask the thread to end; a request that is under way ends by its time-out."""
        self._stopping.set()

    def _beat(self, queue: Queue) -> bool:
        try:
            self.extend(queue)
        except (BotoCoreError, ClientError, OSError) as error:
            logger.warning("messages of queue %s not extended, trying on (%s)", queue.name, error)
            return False
        return True

    def extend(self, queue: Queue) -> int:
        """Extend the messages of one queue now and return how many; no request if there is none."""
        held = list(self._held(sqs.full_name(queue.name)))
        for start in range(0, len(held), BATCH):
            self._request(held[start : start + BATCH], queue)
        return len(held)

    def _held(self, full_name: str) -> Iterator[tuple[str, str]]:
        """Yield the queue's URL and the receipt handle of each message held."""
        done = set(self._channel.qos._dirty)
        for tag, message in self._channel.qos._delivered.copy().items():
            info = message.delivery_info
            url = info.get("sqs_queue", "")
            if tag not in done and url.rpartition("/")[2] == full_name:
                yield url, info["sqs_message"]["ReceiptHandle"]

    def _request(self, held: Sequence[tuple[str, str]], queue: Queue) -> None:
        if self._client is None:
            self._client = sqs.client(
                connect_seconds=REQUEST_SECONDS, read_seconds=REQUEST_SECONDS, attempts=1
            )
        seconds = int(queue.visibility.total_seconds())
        answer = self._client.change_message_visibility_batch(
            QueueUrl=held[0][0],
            Entries=[
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
                for number, (_, handle) in enumerate(held)
            ],
        )
        for failed in answer.get("Failed", ()):
            # Ours means acknowledged since the look at it, or expired before.
            level = logging.DEBUG if failed.get("SenderFault") else logging.WARNING
            logger.log(level, "a message of queue %s not extended: %s", queue.name, failed["Code"])


def _interval(queue: Queue) -> float:
    return queue.visibility.total_seconds() / 3


class Visibility(bootsteps.StartStopStep):
    """Run a `VisibilityHeart` from a worker's first message to the end of its warm shutdown."""

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self.heart: VisibilityHeart | None = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Begin with the channel that messages come in by now; another one after each restart."""
        self.shutdown(consumer)
        queues = [queue for queue in settings.QUEUES if queue.consumed_by_worker]
        self.heart = VisibilityHeart(consumer.task_consumer.channel, queues)
        self.heart.start()

    def stop(self, consumer: Any) -> None:
        """Go on: the pool has yet to finish what it is at."""

    def shutdown(self, consumer: Any) -> None:
        """End, once the pool is through."""
        if self.heart is not None:
            self.heart.stop()
        self.heart = None
