"""Celery events of the steps that a pool process runs in place, over Redis.

The worker's main process sends events of messages (`counterpoint.control`); it does not see what a
pool process goes on with. Redis may be away: events wait in a bounded buffer, and a thread sends
them a few times a second, so that a step pays a microsecond for each.
"""

import os
import time
from collections import deque
from typing import Any

from celery.events.event import get_exchange
from celery.signals import worker_process_init, worker_process_shutdown
from celery.utils.time import utcoffset
from kombu import Connection, Producer
from kombu.clocks import LamportClock

from counterpoint.control import BATCH, BUFFERED_EVENTS, RedisThread
from counterpoint.monitor import app as monitor
from jobs.ports import ports

PAUSE_SECONDS = 0.2
UNTYPED_MONITOR: Any = monitor  # the stubs leave its clock out


class StepEvents:
    """The events of one process on their way to Redis; a `jobs.ports.Monitor`."""

    def __init__(self) -> None:
        self._waiting: deque[dict[str, Any]] = deque(maxlen=BUFFERED_EVENTS)
        self._unsent: list[dict[str, Any]] = []
        # The application's own has a lock, which may be held while this process is forked.
        self._clock = LamportClock(initial_value=UNTYPED_MONITOR.clock.value)
        self._thread: RedisThread | None = None

    def __call__(
        self, kind: str, *, task: str, task_id: str, hostname: str, fields: dict[str, Any]
    ) -> None:
        """Take one event; `task` is in it as far as the kind's event has the name."""
        self._waiting.append(
            {
                **fields,
                "type": f"task-{kind}",
                "uuid": task_id,
                "hostname": hostname,
                "timestamp": time.time(),
            }
        )
        if self._thread is None:
            self._thread = RedisThread("step-events", self._send_on)
            self._thread.start()

    def stop(self) -> None:
        """Send what waits, if that is quick."""
        if self._thread is not None:
            self._thread.stop()

    def _send_on(self, connection: Connection, stopping: Any) -> None:
        exchange = get_exchange(connection, name=monitor.conf.event_exchange)
        producer = Producer(connection.channel(), exchange=exchange, serializer="json")
        while self._unsent or self._waiting or not stopping.is_set():
            while self._waiting and len(self._unsent) < BATCH:
                self._unsent.append(self._completed(self._waiting.popleft()))
            if self._unsent:
                # Declared each time: kombu drops what goes to a fan-out it does not know.
                producer.publish(self._unsent, routing_key="task.multi", declare=[exchange])
                self._unsent.clear()
            if not self._waiting:
                stopping.wait(PAUSE_SECONDS)

    def _completed(self, event: dict[str, Any]) -> dict[str, Any]:
        return {
            **event,
            "pid": os.getpid(),
            "utcoffset": utcoffset(),
            "clock": self._clock.forward(),
        }


def announce_steps(instance: Any, **_: Any) -> None:
    """Prepare a worker that sends task events (`-E`), before it forks its pool."""
    if instance.task_events:
        worker_process_init.connect(_begin)
        worker_process_shutdown.connect(_end)


def _begin(**_: Any) -> None:
    ports.monitor = StepEvents()


def _end(**_: Any) -> None:
    if isinstance(ports.monitor, StepEvents):
        ports.monitor.stop()
