"""Deliveries onto their queues: one message for a chunk of them, nothing in it but ids."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from celery import current_app

from subscriptions.errors import UnknownHandlerType
from subscriptions.handlers.contract import handler_named

log = structlog.get_logger(__name__)

TASK = "subscriptions.deliver"


class Waiting(NamedTuple):
    """A delivery that a worker should hear of."""

    id: int
    handler_type: str
    subscription_id: int


def send(waiting: Iterable[Waiting]) -> int:
    """Send one message per chunk of a handler type; return how many messages went out.

    A chunk is sorted by subscription, so that a slow receiver holds up few messages. A broker that
    is away is logged and loses nothing: the deliveries are due again, and the sweep sends what no
    worker came for.
    """
    by_type: defaultdict[str, list[Waiting]] = defaultdict(list)
    for delivery in waiting:
        by_type[delivery.handler_type].append(delivery)
    sent = 0
    for name, deliveries in by_type.items():
        try:
            handler = handler_named(name)
        except UnknownHandlerType as error:  # a process of another release knows it
            log.warning("deliveries_not_sent", handler_type=name, error=str(error))
            continue
        deliveries.sort(key=lambda delivery: (delivery.subscription_id, delivery.id))
        ids = [delivery.id for delivery in deliveries]
        for first in range(0, len(ids), handler.chunk):
            try:
                current_app.send_task(
                    TASK,
                    args=[ids[first : first + handler.chunk]],
                    queue=handler.queue,
                    ignore_result=True,
                    retry=False,
                )
            except Exception as error:
                # Celery, kombu, boto3 and sockets each have their own; whatever it is, it costs
                # time only, and must not stop the relay.
                log.warning(
                    "deliveries_not_sent",
                    handler_type=name,
                    error=f"{type(error).__name__}: {error}"[:500],
                )
                return sent  # the broker is away for the other types too
            sent += 1
    return sent
