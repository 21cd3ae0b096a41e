"""Every SQS queue of the project, declared once.

`manage.py ensure_queues` creates them with their dead-letter queues, the worker consumes them, and
a system check refuses a step or workflow that names one which is not here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

DLQ_SUFFIX = "-dlq"
DEFAULT = "default"
EVENTS = "events"
EVENT_VISIBILITY = timedelta(minutes=1)


@dataclass(frozen=True)
class Queue:
    """One SQS standard queue and its dead-letter queue, `<name>-dlq`.

    `max_receive_count` is how often SQS hands a message out before it moves to the DLQ. It is high
    because a message here is only a wake-up: attempts are counted in Postgres, and the sweep sends
    it again.
    """

    name: str
    max_receive_count: int = 10
    visibility: timedelta = timedelta(minutes=30)
    retention: timedelta = timedelta(days=4)
    consumed_by_worker: bool = True

    @property
    def dead_letter_name(self) -> str:
        return f"{self.name}{DLQ_SUFFIX}"


SHIPPED = (
    Queue(DEFAULT),
    Queue("orders"),
    Queue("billing"),
    Queue("webhooks", visibility=timedelta(minutes=5)),
    Queue("workflows", visibility=timedelta(minutes=5)),
    # Accounting syncs: a provider may take its time, and must not take others'.
    Queue("sync", visibility=timedelta(minutes=15)),
    # A mail server or a messenger that is slow holds up nobody else.
    Queue("email", visibility=timedelta(minutes=15)),
    Queue("notify", visibility=timedelta(minutes=5)),
    # Events from outside: read by `manage.py ingest`, never by a Celery worker.
    Queue(EVENTS, visibility=EVENT_VISIBILITY, consumed_by_worker=False),
)


def declared(extra: Iterable[str], of_events: Iterable[str] = ()) -> tuple[Queue, ...]:
    """Return the shipped queues and one of default shape for each extra name (`EXTRA_QUEUES`), and
    one like `events` for each further queue that ingest reads.
    """
    found = {queue.name: queue for queue in SHIPPED}
    for name in of_events:
        found.setdefault(name, Queue(name, visibility=EVENT_VISIBILITY, consumed_by_worker=False))
    for name in extra:
        found.setdefault(name, Queue(name))
    return tuple(found.values())
