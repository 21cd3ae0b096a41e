"""One thread's work: ask the database, receive, file, delete; over and over."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from django.db import InterfaceError, OperationalError

from subscriptions.ingest.companies import Companies
from subscriptions.ingest.filing import Filed, file
from subscriptions.ingest.message import Message
from subscriptions.ingest.outage import Outage, hang_up
from subscriptions.ingest.queue import BATCH, FAILURES, EventQueue

log = structlog.get_logger(__name__)

# The first thread of a queue always waits for messages; a long poll cannot be interrupted, and the
# process has five seconds to stop. The others help while there are many.
WAIT_SECONDS, HELPER_WAIT_SECONDS = 3, 1
# How long a batch is kept while the database is away, before others may have it: below the queue's
# visibility time-out.
HOLD_SECONDS = 20.0
SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 5.0


@dataclass(frozen=True)
class Crew:
    """What the threads of one queue share; `is_busy` is set while a full batch came last."""

    stop: threading.Event
    outage: Outage
    companies: Companies
    tell: Callable[[Filed], None]
    is_busy: threading.Event


class Receiver:
    """Receives from one queue until told to stop, whatever SQS, the database or a message does."""

    def __init__(self, name: str, crew: Crew, *, is_helper: bool = False) -> None:
        self._queue = EventQueue(name)
        self._crew = crew
        self._is_helper = is_helper
        self._pause = SHORTEST_PAUSE

    def run(self) -> None:
        while not self._crew.stop.is_set():
            try:
                if self._is_helper and not self._crew.is_busy.wait(HELPER_WAIT_SECONDS):
                    continue
                self.turn()
                self._pause = SHORTEST_PAUSE
            except Exception as error:
                # A thread never ends by itself: what is away comes back, what a release broke the
                # next one mends. Messages that were held come again.
                if isinstance(error, (*FAILURES, LookupError)):
                    log.warning("receive_failed", queue=self._queue.name, error=str(error))
                else:
                    log.exception("ingest_failed", queue=self._queue.name)
                hang_up()
                self._crew.stop.wait(self._pause)
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
        hang_up()

    def turn(self) -> int:
        """Take in one batch and return how many messages it had."""
        if not self._crew.outage.wait():
            return 0
        wait = HELPER_WAIT_SECONDS if self._is_helper else WAIT_SECONDS
        messages = self._queue.receive(wait_seconds=wait)
        self._note(len(messages))
        if not messages:
            return 0
        done = self._file(messages)
        if done:
            self._queue.delete(done)
        return len(done)

    def _note(self, count: int) -> None:
        if count == BATCH:
            self._crew.is_busy.set()
        elif not count:
            self._crew.is_busy.clear()

    def _file(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return those that are filed. The others are given back if they could not be in time, or
        must not be any more; what fails by itself comes again when its time is up.
        """
        deadline = time.monotonic() + HOLD_SECONDS
        while not self._crew.stop.is_set():
            try:
                self._crew.tell(file(messages, self._crew.companies))
                self._crew.outage.note_success()
                return messages
            except (OperationalError, InterfaceError) as error:  # away, a deadlock, no more room
                log.warning("batch_not_filed", error=str(error).strip().partition("\n")[0])
                hang_up()
                self._crew.outage.doubt()
                self._crew.stop.wait(SHORTEST_PAUSE)
                if not self._crew.outage.wait() or time.monotonic() > deadline:
                    break
            except Exception:
                if len(messages) == 1:
                    raise
                return self._file_each(messages)
        self._queue.give_back(messages)
        return []

    def _file_each(self, messages: Sequence[Message]) -> Sequence[Message]:
        """File messages one by one: what one of them breaks is not the others' failure."""
        done: list[Message] = []
        for message in messages:
            try:
                done += self._file([message])
            except Exception:
                log.exception("message_not_filed", queue=message.queue, message_id=message.id)
        return done
