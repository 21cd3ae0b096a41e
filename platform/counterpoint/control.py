"""A worker's events and remote control, over Redis while its tasks come from SQS.

SQS has no broadcast, so Celery's own event dispatcher, heartbeat and remote control cannot use it
(https://github.com/mher/flower/issues/687). The bootstep here puts others in their place, which
speak to the broker of `counterpoint.monitor`. Redis may be away at any time, from the worker's
start on: events wait in a bounded buffer, threads of their own connect again and again, and nothing
that executes tasks ever waits for them.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from celery import bootsteps
from celery.events.dispatcher import EventDispatcher
from celery.exceptions import WorkerShutdown, WorkerTerminate
from celery.platforms import EX_OK
from celery.signals import worker_shutting_down
from celery.utils.collections import AttributeDict
from celery.utils.log import get_logger
from celery.worker import control, state
from celery.worker.consumer.events import Events
from celery.worker.consumer.tasks import Tasks
from celery.worker.heartbeat import Heart
from kombu import Connection, Exchange, Producer
from kombu.exceptions import EncodeError
from kombu.pidbox import Mailbox

from counterpoint import revocation
from counterpoint.monitor import app as monitor

logger = get_logger(__name__)

BUFFERED_EVENTS = 10_000  # the oldest go first: about 5 MB
BATCH = 100
RECONNECT_SECONDS = 1.0
POLL_SECONDS = 1.0
LINGER_SECONDS = 0.1  # for other events: one message to Redis takes many
JOIN_SECONDS = 2.0


class RedisThread:
    """A thread that works on one Redis connection, and on a new one after each failure."""

    def __init__(self, name: str, work: Callable[[Connection, threading.Event], None]) -> None:
        self._work = work
        self._name = name
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"counterpoint-{name}", daemon=True)

    def start(self) -> None:
        """Begin; returns at once, whether or not Redis is there."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end and give it a moment."""
        self._stopping.set()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        connected = True
        while not self._stopping.is_set():
            try:
                with monitor.connection_for_write() as connection:
                    connection.connect()
                    if not connected:
                        logger.info("%s: connected to Redis again", self._name)
                    connected = True
                    self._work(connection, self._stopping)
            except Exception as error:  # whatever it is, a worker's tasks must not suffer from it
                if connected:
                    logger.warning("%s: no Redis, trying on (%s)", self._name, error)
                connected = False
                self._stopping.wait(RECONNECT_SECONDS)


class BufferedDispatcher(EventDispatcher):
    """Take a worker's events without ever waiting, and have a thread send them to Redis."""

    def __init__(self, **options: Any) -> None:
        self.exchange: Exchange  # set by the base class
        self._waiting: deque[tuple[Any, str]] = deque(maxlen=BUFFERED_EVENTS)
        self._unsent: list[tuple[Any, str]] = []
        self._something = threading.Event()
        super().__init__(app=monitor, connection=monitor.connection_for_write(), **options)
        self.connection = None  # it was for the exchange's type; the worker's loop would open it
        self._thread = RedisThread("events", self._send_on)
        self._thread.start()

    def _publish(self, event: Any, producer: Any, routing_key: str, **_: Any) -> None:
        self._waiting.append((event, routing_key))
        self._something.set()

    def stop(self) -> None:
        """Send what waits, if that is quick, and end the thread."""
        self._something.set()
        self._thread.stop()

    def _send_on(self, connection: Connection, stopping: threading.Event) -> None:
        producer = Producer(connection.channel(), exchange=self.exchange, serializer="json")
        while self._unsent or self._waiting or not stopping.is_set():
            while self._waiting and len(self._unsent) < BATCH:
                self._unsent.append(self._waiting.popleft())
            tasks = [event for event, key in self._unsent if key.startswith("task.")]
            others = [(event, key) for event, key in self._unsent if not key.startswith("task.")]
            for event, routing_key in [*others, *([(tasks, "task.multi")] if tasks else [])]:
                # Declared each time: kombu drops what goes to a fan-out it does not know.
                producer.publish(event, routing_key=routing_key, declare=[self.exchange])
            self._unsent.clear()
            if not self._waiting and not stopping.is_set():
                self._something.wait(POLL_SECONDS)
                self._something.clear()
                stopping.wait(LINGER_SECONDS)


class RemoteControl:
    """Answer `celery inspect` and `celery control`, in a thread, through the monitor's mailbox."""

    def __init__(self, consumer: Any) -> None:
        conf = monitor.conf
        # Without the application's pool of producers: replies go out on the connection of the
        # thread.
        mailbox = Mailbox(
            conf.control_exchange, type="fanout", accept=["json"], serializer="json",
            queue_expires=conf.control_queue_expires, queue_ttl=conf.control_queue_ttl,
        )  # fmt: skip
        self._app = consumer.app
        self._node = mailbox.Node(
            consumer.hostname,
            handlers={**control.Panel.data, **revocation.HANDLERS},
            state=AttributeDict(
                app=consumer.app, hostname=consumer.hostname, consumer=consumer, tset=set
            ),
        )
        self._thread = RedisThread("control", self._listen)
        self.start, self.stop = self._thread.start, self._thread.stop

    def _listen(self, connection: Connection, stopping: threading.Event) -> None:
        self._node.channel = connection.channel()
        consumer = self._node.listen(callback=self._on_message)
        consumer.consume()
        while not stopping.is_set():
            try:
                connection.drain_events(timeout=POLL_SECONDS)
            except TimeoutError:
                continue

    def _on_message(self, body: Any, message: Any) -> None:
        self._app.clock.forward()
        try:
            self._node.handle_message(body, message)
        except WorkerShutdown:  # for the worker's main thread, which looks at these
            worker_shutting_down.send(sender=self._node.hostname, sig=None, how="Warm", exitcode=0)
            state.should_stop = EX_OK  # type: ignore[assignment] # an exit code, when set
        except WorkerTerminate:
            state.should_terminate = EX_OK  # type: ignore[assignment] # likewise
        except (KeyError, EncodeError) as error:  # no such command; an answer JSON cannot hold
            logger.error("control: %s: %r", type(error).__name__, error)


class ControlPlane(bootsteps.StartStopStep):
    """Give a worker events, heartbeat and remote control over Redis."""

    requires = (Tasks, Events)

    def __init__(self, consumer: Any, **options: Any) -> None:
        self.dispatcher: BufferedDispatcher | None = None
        self.heart: Heart | None = None
        self.remote: RemoteControl | None = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Replace the dispatcher that would speak to SQS, and start the threads."""
        own = consumer.event_dispatcher
        self.dispatcher = BufferedDispatcher(
            hostname=consumer.hostname, enabled=own.enabled, groups=own.groups
        )
        consumer.event_dispatcher = self.dispatcher
        consumer.update_strategies()  # they hold the dispatcher they were made with
        for request in tuple(state.reserved_requests):
            request.eventer = self.dispatcher
        self.heart = Heart(consumer.timer, self.dispatcher)
        self.heart.start()
        self.remote = RemoteControl(consumer)
        self.remote.start()

    def stop(self, consumer: Any) -> None:
        """Say goodbye, as far as Redis is there to hear it, and end the threads."""
        if self.remote is not None:
            self.remote.stop()
        if self.heart is not None:
            self.heart.stop()
        if self.dispatcher is not None:
            self.dispatcher.stop()
        self.remote = self.heart = self.dispatcher = None

    shutdown = stop
