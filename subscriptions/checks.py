"""System checks of the event system's settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from subscriptions.handlers.contract import registered


@register()
def handlers_have_queues(**kwargs: Any) -> list[CheckMessage]:
    """subscriptions.E001: a handler's queue is one of settings.QUEUES."""
    known = {queue.name for queue in settings.QUEUES if queue.consumed_by_worker}
    return [
        Error(
            f"handler {name} uses queue {kind.queue!r}, which no worker consumes",
            hint=f"Queues: {', '.join(sorted(known))}; EXTRA_QUEUES adds more.",
            id="subscriptions.E001",
        )
        for name, kind in registered().items()
        if kind.queue not in known
    ]


@register()
def event_queues_are_no_workers(**kwargs: Any) -> list[CheckMessage]:
    """subscriptions.E002: a queue of INGEST_QUEUE_COMPANIES is read by ingest alone."""
    taken = {queue.name for queue in settings.QUEUES if queue.consumed_by_worker}
    return [
        Error(
            f"INGEST_QUEUE_COMPANIES names {name!r}, which workers consume",
            hint="Give the company's events a queue of their own.",
            id="subscriptions.E002",
        )
        for name in settings.INGEST_QUEUE_COMPANIES
        if name in taken
    ]
