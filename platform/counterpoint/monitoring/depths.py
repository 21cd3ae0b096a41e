"""How full the SQS queues are, and how old their oldest messages."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from counterpoint import sqs
from counterpoint.queues import Queue
from jobs.sqs import NOT_THERE

SECONDS = 2.0  # for each request
COUNTS = {
    "visible": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}
AGE = "ApproximateAgeOfOldestMessage"
AGES_KEPT = 60.0  # seconds: it has a new figure once a minute, and takes money for each
LOOK_BACK = timedelta(minutes=10)  # CloudWatch is some minutes late


@dataclass(frozen=True)
class Depth:
    """What is in one queue by state, and in its dead-letter queue; None for what does not exist.

    `oldest` is the age in seconds of the oldest message, which only CloudWatch knows.
    """

    queue: str
    counts: Mapping[str, int] | None
    dead_letters: int | None
    oldest: float | None = None


@dataclass
class Depths:
    """All declared queues; `problem` says why there are none."""

    queues: list[Depth] = field(default_factory=list)
    problem: str | None = None


class Gauge:
    """Asks SQS and CloudWatch; one for each process, for its clients and the queues' URLs.

    Two requests a queue, the first time two more, and one a minute to CloudWatch.
    """

    def __init__(self) -> None:
        self._sqs = sqs.client(connect_seconds=SECONDS, read_seconds=SECONDS, attempts=1)
        self._cloudwatch: Any = None
        self._urls: dict[str, str] = {}
        self._known_ages: Mapping[str, float] = {}
        self._aged_at = float("-inf")

    def measure(self, queues: Iterable[Queue]) -> Depths:
        """Return how full the queues are, or what kept us from asking."""
        try:
            ages = self._ages(queues)
            return Depths([self._depth(queue, ages) for queue in queues])
        except (BotoCoreError, ClientError) as error:
            self._urls.clear()
            return Depths(problem=f"SQS does not serve us: {error}")

    def _depth(self, queue: Queue, ages: Mapping[str, float]) -> Depth:
        dead = self._counts(queue.dead_letter_name)
        return Depth(
            queue.name,
            self._counts(queue.name),
            None if dead is None else dead["visible"],
            ages.get(queue.name),
        )

    def _counts(self, name: str) -> dict[str, int] | None:
        url = self._urls.get(name) or sqs.find(self._sqs, name)
        if url is None:
            return None
        self._urls[name] = url
        try:
            answer = self._sqs.get_queue_attributes(
                QueueUrl=url, AttributeNames=list(COUNTS.values())
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in NOT_THERE:
                raise
            del self._urls[name]
            return None
        return {state: int(answer["Attributes"][name]) for state, name in COUNTS.items()}

    def _ages(self, queues: Iterable[Queue]) -> Mapping[str, float]:
        """Return CloudWatch's figure for each queue of which it has one; asked once a minute."""
        if not settings.METRICS_CLOUDWATCH:
            return {}
        if time.monotonic() - self._aged_at >= AGES_KEPT:
            # Made once: making a client stops the process's other threads for a tenth of a second.
            self._cloudwatch = self._cloudwatch or cloudwatch()
            self._known_ages = ages(self._cloudwatch, [queue.name for queue in queues])
            self._aged_at = time.monotonic()
        return self._known_ages


def cloudwatch() -> Any:
    """Return a new client of CloudWatch, at the endpoint of SQS where that is an emulator's."""
    return boto3.session.Session(region_name=settings.AWS_REGION).client(
        "cloudwatch",
        endpoint_url=settings.SQS_ENDPOINT_URL or None,
        config=Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"max_attempts": 1}),
    )


def ages(client: Any, names: list[str], *, now: datetime | None = None) -> dict[str, float]:
    """Ask CloudWatch for the age of each queue's oldest message, in seconds. One request."""
    until = now or datetime.now().astimezone()
    queries = [
        {
            "Id": f"q{number}",
            "MetricStat": {
                "Metric": {
                    "Namespace": "AWS/SQS",
                    "MetricName": AGE,
                    "Dimensions": [{"Name": "QueueName", "Value": sqs.full_name(name)}],
                },
                "Period": 60,
                "Stat": "Maximum",
            },
        }
        for number, name in enumerate(names)
    ]
    answer = client.get_metric_data(
        MetricDataQueries=queries,
        StartTime=until - LOOK_BACK,
        EndTime=until,
        ScanBy="TimestampDescending",
    )
    newest = {found["Id"]: found["Values"] for found in answer["MetricDataResults"]}
    return {
        name: float(newest[f"q{number}"][0])
        for number, name in enumerate(names)
        if newest.get(f"q{number}")
    }
