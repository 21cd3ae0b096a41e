"""Events from tables, code and queues, and the subscriptions that turn them into work: the
authors' API.

Names are imported on first use: Django loads this package before any model exists.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subscriptions.capture.operations import AttachEventTrigger, DetachEventTrigger
    from subscriptions.contracts import event, upcaster
    from subscriptions.handlers.contract import Handler, Item, Outcome, handler
    from subscriptions.outbox import publish
    from subscriptions.scheduled import cancel_scheduled, move_scheduled

__all__ = [
    "AttachEventTrigger",
    "DetachEventTrigger",
    "Handler",
    "Item",
    "Outcome",
    "cancel_scheduled",
    "event",
    "handler",
    "move_scheduled",
    "publish",
    "upcaster",
]

_HOMES = {
    "AttachEventTrigger": "subscriptions.capture.operations",
    "DetachEventTrigger": "subscriptions.capture.operations",
    "Handler": "subscriptions.handlers.contract",
    "Item": "subscriptions.handlers.contract",
    "Outcome": "subscriptions.handlers.contract",
    "cancel_scheduled": "subscriptions.scheduled",
    "event": "subscriptions.contracts",
    "handler": "subscriptions.handlers.contract",
    "move_scheduled": "subscriptions.scheduled",
    "publish": "subscriptions.outbox",
    "upcaster": "subscriptions.contracts",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'subscriptions' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
