"""Create the declared queues with their dead-letter queues, and compare them."""

import json
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from counterpoint import sqs
from counterpoint.queues import Queue

DLQ_RETENTION = timedelta(days=14)  # the longest SQS allows


@dataclass
class Report:
    """What `ensure` did: the full names of created and of unchanged queues, and what it refused."""

    created: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def seconds(duration: timedelta) -> str:
    """Return a duration as SQS takes it."""
    return str(int(duration.total_seconds()))


def attributes(queue: Queue, dead_letter_arn: str) -> dict[str, str]:
    """Return the attributes a declared queue must have."""
    redrive = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": queue.max_receive_count}
    return {
        "VisibilityTimeout": seconds(queue.visibility),
        "MessageRetentionPeriod": seconds(queue.retention),
        "RedrivePolicy": json.dumps(redrive),
    }


def dead_letter_attributes() -> dict[str, str]:
    """Return the attributes that every dead-letter queue must have."""
    return {"MessageRetentionPeriod": seconds(DLQ_RETENTION)}


def ensure(client: Any, queues: Iterable[Queue]) -> Report:
    """Create what is missing, leave what is right, and report what is there but different.

    An existing queue is never changed: who else uses it is not known here.
    """
    report = Report()
    for queue in queues:
        dead_arn = _ensure_one(client, queue.dead_letter_name, dead_letter_attributes(), report)
        _ensure_one(client, queue.name, attributes(queue, dead_arn), report)
    return report


def _ensure_one(client: Any, name: str, wanted: dict[str, str], report: Report) -> str:
    """Create one queue or compare it, and return its ARN."""
    full_name = sqs.full_name(name)
    url = sqs.find(client, name)
    if url is None:
        url = client.create_queue(QueueName=full_name, Attributes=wanted)["QueueUrl"]
        report.created.append(full_name)
    found = _attributes_of(client, url)
    differences = dict(_differences(found, wanted))
    if differences:
        report.refused.append(
            f"{full_name} exists with other attributes: {'; '.join(differences.values())}\n"
            f"  {remedy(url, {name: wanted[name] for name in differences})}"
        )
    elif full_name not in report.created:
        report.unchanged.append(full_name)
    return found["QueueArn"]


def remedy(url: str, attributes: dict[str, str]) -> str:
    """Return the command that gives an existing queue these attributes, to be typed by hand."""
    given = shlex.quote(json.dumps(attributes))
    return f"aws sqs set-queue-attributes --queue-url {shlex.quote(url)} --attributes {given}"


def _attributes_of(client: Any, url: str) -> dict[str, str]:
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    found: dict[str, str] = answer["Attributes"]
    return found


def _differences(found: dict[str, str], wanted: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each attribute that differs, and how."""
    for name, value in wanted.items():
        has = found.get(name)
        if _comparable(name, has) != _comparable(name, value):
            yield name, f"{name} is {has or 'not set'}, declared is {value}"


def _comparable(name: str, value: str | None) -> object:
    if value is None or name != "RedrivePolicy":
        return value
    policy = json.loads(value)  # SQS returns the count as number or as text, as it was given
    return policy.get("deadLetterTargetArn"), int(policy.get("maxReceiveCount", 0))


def problems(client: Any, queues: Iterable[Queue]) -> list[str]:
    """Return one line for each declared queue that is missing or has no dead-letter queue.

    Two requests a queue.
    """
    return [line for queue in queues if (line := _problem(client, queue)) is not None]


def _problem(client: Any, queue: Queue) -> str | None:
    url = sqs.find(client, queue.name)
    if url is None:
        return f"SQS queue {sqs.full_name(queue.name)} does not exist"
    policy = json.loads(_attributes_of(client, url).get("RedrivePolicy", "{}"))
    target = policy.get("deadLetterTargetArn", "").rpartition(":")[2]
    dead_letter_name = sqs.full_name(queue.dead_letter_name)
    if target != dead_letter_name or sqs.find(client, queue.dead_letter_name) is None:
        name = sqs.full_name(queue.name)
        return f"SQS queue {name} is without its dead-letter queue {dead_letter_name}"
    return None
