"""Celery's own chain and chord on the same SQS, with the project's kombu settings.

Nothing of this engine is in it, nor of Django's clean-up around each task. Without a result backend
nothing says when a chain has ended, so that its last task appends a time to a file: some
microseconds, where this engine's runs write their end to Postgres.
"""

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery, Task, chain, chord

from bench.shape import PEER_QUEUE, WIDTH

MARK_BYTES = 20  # of one line: a Unix time in nanoseconds and a line break

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
app = Celery("peer", fixups=[])
app.config_from_object("counterpoint.celeryconfig")
app.conf.broker_transport = "sqs"  # kombu's own, with the same options
if os.environ.get("PEER_RESULTS"):
    app.conf.update(result_backend=os.environ["REDIS_URL"], task_ignore_result=False)


def marks(batch: str) -> Path:
    return Path(os.environ["BENCH_MARKS"]) / batch


def _mark(batch: str) -> None:
    """Write down now; lines this short are appended whole, whoever else writes."""
    with marks(batch).open("ab", buffering=0) as file:
        file.write(b"%019d\n" % time.time_ns())


@app.task(name="peer.noop")
def noop(batch: str) -> str:
    return batch


@app.task(name="peer.end")
def end(batch: str) -> str:
    _mark(batch)
    return batch


@app.task(name="peer.join")
def join(batches: list[str]) -> int:
    _mark(batches[0])
    return len(batches)


def five(batch: str, *, queues: tuple[str, ...]) -> Any:
    """Return a chain of five tasks, each on the queue in its place."""
    tasks: list[Task[Any, Any]] = [noop, noop, noop, noop, end]
    first, *others = zip(tasks, queues, strict=True)
    return chain(
        first[0].s(batch).set(queue=first[1]),
        *(task.s().set(queue=queue) for task, queue in others),
    )


def hundred(batch: str) -> Any:
    """Return a chord of a hundred tasks and one that gets their results."""
    header = [noop.s(batch).set(queue=PEER_QUEUE) for _ in range(WIDTH)]
    return chord(header, join.s().set(queue=PEER_QUEUE))
