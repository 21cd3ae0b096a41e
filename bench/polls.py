"""Make sure that nobody listens to a queue any more.

The emulator goes on answering the long poll of a process that has ended, for up to 20 s: what it
hands out then is lost until the visibility time-out. A message is given to such a poll on purpose.
"""

import time
from collections.abc import Sequence
from typing import Any

from bench.errors import BenchError
from counterpoint import sqs

BODY = "for whoever still listens"
LOOK_SECONDS = 0.3  # the emulator looks for messages ten times a second
PATIENCE_SECONDS = 30.0


def end_polls(queues: Sequence[str]) -> None:
    """Feed what still listens to these queues until nothing does, and leave the queues empty."""
    client = sqs.client()
    listening = {name: sqs.find(client, name) for name in queues}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while listening:
        if time.monotonic() > deadline:
            raise BenchError(f"somebody still reads the queues {', '.join(listening)}")
        for url in listening.values():
            client.send_message(QueueUrl=url, MessageBody=BODY)
        time.sleep(LOOK_SECONDS)
        for name, url in list(listening.items()):
            if _waiting(client, url):  # nobody took it
                client.purge_queue(QueueUrl=url)
                del listening[name]


def _waiting(client: Any, url: str | None) -> int:
    names = ["ApproximateNumberOfMessages"]
    answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])
