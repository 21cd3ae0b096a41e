"""A window on events and deliveries, and the form for subscriptions."""

from subscriptions.admin.dead_letters import DeadLetterAdmin, InboxAdmin
from subscriptions.admin.deliveries import DeliveryAdmin, DeliveryAttemptAdmin
from subscriptions.admin.entries import SearchEntryAdmin
from subscriptions.admin.events import EventAdmin, RelayCursorAdmin
from subscriptions.admin.mappings import ExternalConnectionAdmin, ExternalMappingAdmin
from subscriptions.admin.scheduled import ScheduledEventAdmin
from subscriptions.admin.subscriptions import SubscriptionAdmin

__all__ = [
    "DeadLetterAdmin",
    "DeliveryAdmin",
    "DeliveryAttemptAdmin",
    "EventAdmin",
    "ExternalConnectionAdmin",
    "ExternalMappingAdmin",
    "InboxAdmin",
    "RelayCursorAdmin",
    "ScheduledEventAdmin",
    "SearchEntryAdmin",
    "SubscriptionAdmin",
]
