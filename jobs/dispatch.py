"""Wake-up messages: a step's ids onto its Celery queue.

A thread of each process sends them, so that nobody who starts a run or ends a step waits for the
broker. Losing one costs time only: its row is ready, and the sweep sends it again.
"""

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from celery import current_app, signals
from kombu.exceptions import OperationalError

from jobs.background import LAST_MOMENT_SECONDS, Background
from jobs.task_ids import new_task_id

log = structlog.get_logger(__name__)

CAPACITY = 100_000  # wake-ups that may wait in one process; about 40 MB
AT_ONCE = 1000
LINGER_SECONDS = 0.05  # of wake-ups that come thick and fast: a request takes ten


@dataclass(frozen=True)
class WakeUp:
    """One step to look at: its row's id, its run, and the Celery task and queue that it goes to."""

    step_run_id: int
    run_id: UUID
    task: str
    queue: str
    company: str | None = None


def send(wake_ups: list[WakeUp]) -> None:
    """Have each sent as a message of two ids; returns at once and raises nothing.

    A broker that is away, or a process that ends before its turn has come, is logged at most.
    """
    held_back = _held_back.get()
    if held_back is not None:
        held_back.extend(wake_ups)
        return
    room = max(CAPACITY - len(_outgoing), 0)
    for wake_up in wake_ups[:room]:
        _outgoing.put(wake_up)
    if room < len(wake_ups):
        log.warning("wake_ups_dropped", count=len(wake_ups) - room, capacity=CAPACITY)


@contextmanager
def holding_back() -> Iterator[list[WakeUp]]:
    """Put what this thread sends into a list instead; for tests."""
    found: list[WakeUp] = []
    token = _held_back.set(found)
    try:
        yield found
    finally:
        _held_back.reset(token)


def flush(timeout: float = LAST_MOMENT_SECONDS) -> bool:
    """Wait until what was given to `send` is on its way; False if that takes over `timeout` s."""
    return _outgoing.flush(timeout)


class _Sender:
    """Publishes on a connection of its own, and on a new one after a failure."""

    def __init__(self) -> None:
        self._connection: Any = None
        self._producer: Any = None

    def send(self, wake_ups: Sequence[WakeUp]) -> None:
        """Publish each, in batches where the broker's transport has them; errors are logged.

        A connection that broke is noticed by an error: then all are sent once more on a new one. A
        wake-up that goes out twice changes nothing.
        """
        try:
            try:
                self._send(wake_ups)
            except OperationalError:
                self._disconnect()
                self._send(wake_ups)
        except Exception as error:
            # Celery, kombu, boto3 and sockets each have their own, and nothing is lost by it.
            log.warning("wake_ups_not_sent", of=len(wake_ups), error=str(error))
            self._disconnect()

    def _send(self, wake_ups: Sequence[WakeUp]) -> None:
        self._connect()
        with self._producer.batch(max_size=AT_ONCE):
            for wake_up in wake_ups:
                self._publish(wake_up)

    def _publish(self, wake_up: WakeUp) -> None:
        try:
            current_app.send_task(
                wake_up.task,
                args=[str(wake_up.run_id), wake_up.step_run_id],
                task_id=new_task_id(wake_up.run_id, wake_up.step_run_id),
                queue=wake_up.queue,
                headers={"company": wake_up.company} if wake_up.company else None,
                ignore_result=True,
                retry=False,
                declare=[],  # consumers do, and asking for it costs as much as the rest
                producer=self._producer,
            )
        except OperationalError:
            raise  # the broker's connection: the others have no other
        except Exception as error:
            log.warning(
                "wake_up_not_sent", step=wake_up.task, run_id=str(wake_up.run_id), error=str(error)
            )

    def _connect(self) -> None:
        if self._connection is None:
            self._connection = current_app.connection_for_write()
            self._producer = current_app.amqp.Producer(self._connection, auto_declare=False)

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            with suppress(Exception):  # it may be what failed
                connection.release()


_held_back: ContextVar[list[WakeUp] | None] = ContextVar("held_back", default=None)


def _begin() -> Background[WakeUp]:
    return Background(
        lambda: _Sender().send, name="wake-ups", at_once=AT_ONCE, linger=LINGER_SECONDS
    )


_outgoing = _begin()


def _flush_at_exit(**_: Any) -> None:
    if not flush():
        log.warning("wake_ups_left", seconds=LAST_MOMENT_SECONDS)


atexit.register(_flush_at_exit)
# A pool's process ends without running what is registered at exit.
signals.worker_process_shutdown.connect(_flush_at_exit)
