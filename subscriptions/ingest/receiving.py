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
        filed = self._file(messages)
        if filed is None:
            self._queue.give_back(messages)
            return 0
        self._queue.delete(messages)
        self._crew.tell(filed)
        return len(messages)

    def _note(self, count: int) -> None:
        if count == BATCH:
            self._crew.is_busy.set()
        elif not count:
            self._crew.is_busy.clear()

    def _file(self, messages: Sequence[Message]) -> Filed | None:
        """Return None if the messages could not be filed in time, or must not be any more."""
        deadline = time.monotonic() + HOLD_SECONDS
        while not self._crew.stop.is_set():
            try:
                return file(messages, self._crew.companies)
            except (OperationalError, InterfaceError) as error:  # away, a deadlock, no more room
                log.warning("batch_not_filed", error=str(error).strip().partition("\n")[0])
                hang_up()
                self._crew.stop.wait(SHORTEST_PAUSE)
                if not self._crew.outage.wait() or time.monotonic() > deadline:
                    return None
            except Exception:
                self._queue.give_back(messages)
                raise
        return None
