"""kombu's SQS transport, made to send and delete in batches, and to outlive what it cannot read and
the times when SQS is away.

Anyone who may send to a queue can put anything there. kombu and Celery raise for several kinds of
message (a header that is no object, an id that is none, a time limit of letters), and what is
raised there ends the worker's main process. Here such a message is logged and rejected: SQS hands
it out again after its visibility time-out and moves it to the dead-letter queue after
`maxReceiveCount`. Nothing is lost by it: whatever a message was for stands in a row.
"""

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

from celery.utils.log import get_logger
from kombu.transport import SQS as UNTYPED
from pydantic import BaseModel, Json, NonNegativeInt, PositiveFloat, TypeAdapter

from counterpoint import deleting
from counterpoint.batching import PublishBatch, group_id
from counterpoint.deleting import Received

logger = get_logger(__name__)

SQS: Any = UNTYPED  # its stubs leave out what is overridden here

RETRY_SECONDS = 1.0  # between looks at a queue while SQS does not answer


class Headers(BaseModel):
    """The headers of Celery's protocol 2 whose types its worker relies on."""

    task: str
    id: str
    timelimit: tuple[PositiveFloat | None, PositiveFloat | None] = (None, None)
    retries: NonNegativeInt | None = None
    eta: str | None = None
    expires: str | None = None
    group: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    origin: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None


class Properties(BaseModel):
    """What kombu puts around the body."""

    delivery_tag: str
    body_encoding: Literal["base64"] | None = None


class Envelope(BaseModel):
    """A task message as kombu writes it."""

    headers: Headers
    properties: Properties
    body: str
    content_type: Literal["application/json"]


Payload: TypeAdapter[Any] = TypeAdapter(
    Json[tuple[list[Any], dict[str, Any], dict[str, Any] | None]]
)


def check(parsed: dict[str, Any]) -> None:
    """Raise ValueError unless the worker can take the message for a task's."""
    envelope = Envelope.model_validate({**parsed, "content_type": parsed.get("content-type")})
    body: str | bytes = envelope.body
    if envelope.properties.body_encoding:
        body = base64.b64decode(envelope.body, validate=True)
    Payload.validate_python(body)


def _unrefused(read: Callable[..., Any]) -> Callable[..., Any]:
    """Let a refusal count as no answer.

    kombu takes a 5xx so, and raises for the rest (credentials that expired, throttling, a queue
    that is not there yet) where nothing looks for it: the queue would never be polled again.
    """

    def read_or_nothing(*arguments: Any) -> Any:
        try:
            return read(*arguments)
        except Exception as error:
            logger.error("SQS refused a poll: %s", " ".join(str(error).split())[:500])
            return []

    return read_or_nothing


class Channel(SQS.Channel):  # type: ignore[misc]
    """A channel that one bad message or one failed poll does not end; it sends and deletes in
    batches.

    A message with a header `company` gets that company's message group, by which SQS keeps one
    company's backlog from holding up the others' messages (fair queues).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unanswered: set[str] = set()
        self._collecting: PublishBatch | None = None

    def create_publish_batch(self, max_size: int) -> PublishBatch:
        """Return the batch that kombu's `Producer.batch()` works with."""
        return PublishBatch(self, max_size)

    def _put(
        self,
        queue: str,
        message: dict[str, Any],
        _publish_batch: PublishBatch | None = None,
        **options: Any,
    ) -> None:
        company = message["headers"].get("company")
        if company:
            message["properties"].setdefault("MessageGroupId", group_id(company))
        self._collecting = _publish_batch
        try:
            super()._put(queue, message, **options)
        finally:
            self._collecting = None

    def sqs(self, queue: str | None = None) -> Any:
        """Return the boto3 client, or the batch that stands in for it while one is collected."""
        return self._collecting or self.client(queue)

    def client(self, queue: str | None = None) -> Any:
        """Return kombu's boto3 client for a queue, given its full name."""
        return super().sqs(queue=queue)

    def asynsqs(self, queue: str | None = None) -> Any:
        """Return the connection that polls a queue, whose refusals end no polling."""
        connection = super().asynsqs(queue=queue)
        if "_on_list_ready" not in vars(connection):
            connection._on_list_ready = _unrefused(connection._on_list_ready)
        return connection

    def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
        """Forget a message and have it deleted, together with others."""
        with suppress(KeyError):  # not received by this channel
            info = self.qos.get(delivery_tag).delivery_info
            deleting.delete(Received(info["sqs_queue"], info["sqs_message"]["ReceiptHandle"]))
        super(SQS.Channel, self).basic_ack(delivery_tag, multiple)

    def close(self) -> None:
        """Give back what is held, and wait a moment for deletions."""
        super().close()
        deleting.flush()

    def _on_messages_ready(self, queue: str, qname: str, messages: Any) -> int:
        if not isinstance(messages, dict):  # kombu's answer for a time-out or a 5xx: []
            logger.warning("no answer from SQS for queue %s, trying on", qname)
            self._unanswered.add(qname)
            return 0
        received = messages.get("Messages") or []
        if received and self.connection._callbacks.get(qname) is None:
            return int(super()._on_messages_ready(queue, qname, messages))  # gives them back
        for message in received:
            self._take(queue, qname, message)
        return len(received)

    def _take(self, queue: str, qname: str, message: dict[str, Any]) -> None:
        tag: str | None = None
        try:
            parsed = self._message_to_python(message, qname, queue)
            check(parsed)
            tag = parsed["properties"]["delivery_tag"]
            self.connection._callbacks[qname](parsed)
        except Exception as error:  # whatever is wrong with it must not end the worker
            logger.error(
                "message %s of queue %s rejected: %s: %s",
                message.get("MessageId"),
                qname,
                type(error).__name__,
                " ".join(str(error).split()),
            )
            if tag is not None and tag in self.qos._delivered:
                self.qos.reject(tag, requeue=False)  # else it would count as prefetched for ever

    def _loop1(self, queue: str, messages_fetched: int | None = None) -> None:
        if queue in self._unanswered:
            self._unanswered.discard(queue)
            self.hub.call_later(RETRY_SECONDS, self._schedule_queue, queue)
            return
        super()._loop1(queue, messages_fetched)


class Transport(SQS.Transport):  # type: ignore[misc]
    """The transport that `broker_transport` names."""

    Channel = Channel
    implements = SQS.Transport.implements.extend(batch_publish=True)
