"""A queue of events in SQS: receive, delete, give back."""

import time
from collections.abc import Sequence
from typing import Any

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from jobs import sqs
from subscriptions.ingest.message import Message, received

log = structlog.get_logger(__name__)

BATCH = 10  # the most that SQS takes or gives in one request
TRIES = 3
PAUSE_SECONDS = 0.1
FAILURES = (BotoCoreError, ClientError, OSError)


class EventQueue:
    """One queue, by its name without prefix, on a client of its own: for one thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._client = sqs.client(is_checking=False)
        self._url: str | None = None

    @property
    def url(self) -> str:
        """Raises LookupError while there is no such queue."""
        if self._url is None:
            self._url = sqs.find(self._client, self.name)
        if self._url is None:
            raise LookupError(f"SQS queue {sqs.full_name(self.name)} does not exist")
        return self._url

    def receive(self, *, wait_seconds: int) -> list[Message]:
        """Return up to ten messages; waits for the first so long. Raises what boto3 does."""
        answer = self._client.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=BATCH,
            WaitTimeSeconds=wait_seconds,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return [received(found, queue=self.name) for found in answer.get("Messages", ())]

    def delete(self, messages: Sequence[Message]) -> int:
        """Delete messages, those that fail again; return how many are left.

        Those come again and are known by then. One whose time was up is not ours to delete.
        """
        left = {str(n): message.handle for n, message in enumerate(messages)}
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE_SECONDS * 2**attempt)
            left = self._try_to_delete(left)
            if not left:
                return 0
        log.warning("messages_not_deleted", queue=self.name, count=len(left))
        return len(left)

    def _try_to_delete(self, handles: dict[str, str]) -> dict[str, str]:
        """Return the handles that are worth another try."""
        entries = [{"Id": name, "ReceiptHandle": handle} for name, handle in handles.items()]
        try:
            answer = self._client.delete_message_batch(QueueUrl=self.url, Entries=entries)
        except FAILURES as error:
            log.warning("delete_failed", queue=self.name, error=str(error))
            return handles
        failed: list[dict[str, Any]] = answer.get("Failed", [])
        return {one["Id"]: handles[one["Id"]] for one in failed if not one.get("SenderFault")}

    def give_back(self, messages: Sequence[Message]) -> None:
        """Make messages visible to others at once; what fails they see when its time is up."""
        entries = [
            {"Id": str(n), "ReceiptHandle": message.handle, "VisibilityTimeout": 0}
            for n, message in enumerate(messages)
        ]
        try:
            self._client.change_message_visibility_batch(QueueUrl=self.url, Entries=entries)
        except FAILURES as error:
            log.warning("messages_not_given_back", queue=self.name, error=str(error))
