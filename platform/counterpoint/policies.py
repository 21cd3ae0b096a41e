"""What each process may do with which queue, and no more."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from counterpoint.queues import Queue


class Statement(NamedTuple):
    """Actions on queues, by their declared names; without any it is on all resources."""

    sid: str
    actions: tuple[str, ...]
    queues: tuple[str, ...] = ()


Described = tuple[str, tuple[Statement, ...]]

LOOK = ("sqs:GetQueueUrl", "sqs:GetQueueAttributes")
TAKE = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility")
# CloudWatch has no resources for metrics.
MEASURE = Statement("MeasureQueues", ("cloudwatch:GetMetricData",))


def policies(queues: Sequence[Queue]) -> Mapping[str, Described]:
    """Return for each process what it is, and its statements."""
    ours = tuple(queue.name for queue in queues if queue.consumed_by_worker)
    events = tuple(queue.name for queue in queues if not queue.consumed_by_worker)
    event_dlqs = tuple(queue.dead_letter_name for queue in queues if not queue.consumed_by_worker)
    every = tuple(name for queue in queues for name in (queue.name, queue.dead_letter_name))
    look = Statement("LookAtQueues", LOOK, every)
    send = Statement("SendToWorkers", ("sqs:SendMessage",), ours)
    return {
        "Web": (
            "Counterpoint's web process: starts runs, shows queues, moves dead letters back",
            (
                look,
                send,
                MEASURE,
                Statement("MoveDeadLettersBack", ("sqs:StartMessageMoveTask", *TAKE), event_dlqs),
                Statement("SendDeadLettersBack", ("sqs:SendMessage",), events),
            ),
        ),
        "Worker": (
            "Counterpoint's workers: consume their queues, send what comes next",
            (look, send, Statement("Consume", TAKE, ours)),
        ),
        "Relay": (
            "Counterpoint's relay: sends deliveries and what is due, looks at queues for alerts",
            (look, send, MEASURE),
        ),
        "Beat": (
            "Counterpoint's beat: sends what is scheduled, looks at queues for alerts",
            (look, send, MEASURE),
        ),
        "Ingest": (
            "Counterpoint's ingest: takes events from outside",
            (Statement("TakeEvents", ("sqs:GetQueueUrl", *TAKE), events),),
        ),
        "Producer": (
            "A service that sends events to Counterpoint",
            (Statement("SendEvents", ("sqs:GetQueueUrl", "sqs:SendMessage"), events),),
        ),
    }
