"""Delete acknowledged messages by tens, in a thread: kombu makes a request for each and waits.

A message whose deletion fails, or was not sent when the process ended, comes again after its
visibility time-out. A step's finds its row taken; an ordinary Celery task runs again, as SQS's "at
least once" allows at any time.
"""

import atexit
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from celery.utils.log import get_logger

from counterpoint import sqs
from counterpoint.batching import ENTRIES
from jobs.background import Background

logger = get_logger(__name__)

LINGER_SECONDS = 0.1  # to let a request fill
AT_ONCE = 1000
# Not ours to delete any more: its visibility time-out has passed, and it was received again.
STALE = ("ReceiptHandleIsInvalid", "InvalidParameterValue")


@dataclass(frozen=True)
class Received:
    """A message as SQS handed it out: its queue's URL, and the handle of this receipt."""

    url: str
    handle: str


def delete(message: Received) -> None:
    """Have a message deleted; returns at once and raises nothing."""
    _deletions.put(message)


def flush() -> None:
    """Wait for the deletions under way, five seconds at most."""
    if not _deletions.flush():
        logger.warning("messages not deleted in time; SQS will hand them out again")


class _Deleter:
    """Deletes on a client of its own."""

    def __init__(self) -> None:
        self._client: Any = None

    def delete(self, messages: list[Received]) -> None:
        handles = defaultdict(list)
        for message in messages:
            handles[message.url].append(message.handle)
        for url, received in handles.items():
            for start in range(0, len(received), ENTRIES):
                self._request(url, received[start : start + ENTRIES])

    def _request(self, url: str, handles: list[str]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
        try:
            if self._client is None:
                self._client = sqs.client()
            answer = self._client.delete_message_batch(QueueUrl=url, Entries=entries)
        except (BotoCoreError, ClientError, OSError) as error:
            logger.warning("%d message(s) of %s not deleted (%s)", len(handles), url, error)
            return
        for failed in answer.get("Failed", ()):
            if failed["Code"] not in STALE:
                logger.warning("a message of %s not deleted: %s", url, failed["Code"])


def _begin() -> Background[Received]:
    return Background(
        lambda: _Deleter().delete, name="deletions", at_once=AT_ONCE, linger=LINGER_SECONDS
    )


_deletions = _begin()
atexit.register(flush)
