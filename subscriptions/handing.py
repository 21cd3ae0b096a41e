"""Deliveries onto their queues: one message for a chunk of them, nothing in it but ids."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import structlog
from celery import current_app

from jobs.background import Background
from subscriptions.errors import UnknownHandlerType
from subscriptions.handlers.contract import Handler, handler_named

log = structlog.get_logger(__name__)

TASK = "subscriptions.deliver"
BY_SUBSCRIPTION = attrgetter("subscription_id", "ids")
AT_ONCE = 10  # messages in a request, where the transport has batches
LARGEST_CHUNK = 100
SPREAD = 8  # at least so many messages of a full page, for as many workers
MOST_PAGES = 50  # that wait for the broker in one process


class Waiting(NamedTuple):
    """Deliveries of one subscription that a worker should hear of, by ascending id."""

    handler_type: str
    subscription_id: int
    ids: list[int]


def count(waiting: Iterable[Waiting]) -> int:
    """Return how many deliveries wait."""
    return sum(len(one.ids) for one in waiting)


def send(waiting: Iterable[Waiting]) -> int:
    """Send one message per chunk of a handler type; return how many messages went out.

    A chunk is sorted by subscription, so that a slow receiver holds up few messages. A broker that
    is away is logged and loses nothing: the deliveries are due again, and the sweep sends what no
    worker came for.
    """
    by_type: defaultdict[str, list[Waiting]] = defaultdict(list)
    for one in waiting:
        by_type[one.handler_type].append(one)
    if not by_type:
        return 0
    try:
        with (
            _acquire() as producer,
            producer.batch(max_size=AT_ONCE),
        ):
            return sum(_publish(producer, *each) for each in by_type.items())
    except Exception as error:
        # Celery, kombu, boto3 and sockets each have their own; whatever it is, it costs time only,
        # and must not stop the relay.
        log.warning("deliveries_not_sent", error=f"{type(error).__name__}: {error}"[:500])
        return 0


def _acquire() -> Any:  # the stubs know a Producer of before 5.7, without batches
    return current_app.producer_pool.acquire(block=True)


def _publish(producer: Any, name: str, waiting: list[Waiting]) -> int:
    try:
        handler = handler_named(name)
    except UnknownHandlerType as error:  # a process of another release knows it
        log.warning("deliveries_not_sent", handler_type=name, error=str(error))
        return 0
    waiting.sort(key=BY_SUBSCRIPTION)
    ids = [delivery_id for one in waiting for delivery_id in one.ids]
    size = _chunk_size(handler, len(ids))
    for first in range(0, len(ids), size):
        chunk = ids[first : first + size]
        current_app.send_task(
            TASK,
            args=[chunk],
            # For Flower and the log; Celery's own takes longer than all the rest.
            argsrepr=f"([{chunk[0]}, … {len(chunk)} ids],)" if len(chunk) > 1 else f"({chunk},)",
            kwargsrepr="{}",
            queue=handler.queue,
            ignore_result=True,
            retry=False,
            declare=[],  # consumers do, and asking for it costs as much as the rest
            producer=producer,
        )
    return len(range(0, len(ids), size))


def _chunk_size(handler: Handler, count: int) -> int:
    """Return the handler's own size; of a full page more, where threads work on a chunk."""
    if not handler.concurrency:
        return handler.chunk
    return max(handler.chunk, min(LARGEST_CHUNK, math.ceil(count / SPREAD)))


class Hander:
    """Hands deliveries over in a thread of its own, while the relay goes on with the next page."""

    def __init__(self) -> None:
        self._background: Background[Sequence[Waiting]] = Background(
            lambda: _send_pages, name="handing", at_once=1
        )

    def hand(self, waiting: Sequence[Waiting]) -> int:
        """Have them sent; returns at once, and how many they are. While a broker is away for long,
        the sweep sends what finds no room here.
        """
        if len(self._background) >= MOST_PAGES:
            log.warning("deliveries_not_sent", error=f"{MOST_PAGES} pages wait to be sent")
            return 0
        self._background.put(waiting)
        return count(waiting)

    def flush(self) -> bool:
        """Wait some seconds until all is sent; False if it is not."""
        return self._background.flush()


def _send_pages(pages: list[Sequence[Waiting]]) -> None:
    for page in pages:
        send(page)
