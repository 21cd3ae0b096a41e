"""The event system's rows. The tables, their triggers and their partitions are made by SQL in
migrations.

The outbox, deliveries and attempts are partitioned by time. Their primary keys in the database
include that time; Django, which wants one column, is told the column that is unique by its
sequence.
"""

from subscriptions.models.definitions import Gate, Subscription, row_operations
from subscriptions.models.deliveries import Delivery, DeliveryAttempt
from subscriptions.models.external import ExternalConnection, ExternalMapping
from subscriptions.models.inbox import DeadLetter, Inbox
from subscriptions.models.outbox import Event, Operation, PlainJSONField, RelayCursor
from subscriptions.models.scheduled import ScheduledEvent
from subscriptions.models.search import SearchEntry

__all__ = [
    "DeadLetter",
    "Delivery",
    "DeliveryAttempt",
    "Event",
    "ExternalConnection",
    "ExternalMapping",
    "Gate",
    "Inbox",
    "Operation",
    "PlainJSONField",
    "RelayCursor",
    "ScheduledEvent",
    "SearchEntry",
    "Subscription",
    "row_operations",
]
