"""An ingest process: threads for each queue, and what is to be done now and then."""

import gc
import threading
import time
from collections import Counter
from collections.abc import Sequence

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError

from subscriptions.dead_letters import replaying
from subscriptions.ingest import inbox
from subscriptions.ingest.companies import Companies, configured
from subscriptions.ingest.filing import Filed
from subscriptions.ingest.outage import Outage, hang_up
from subscriptions.ingest.receiving import Crew, Receiver

log = structlog.get_logger(__name__)

STOP_SECONDS = 4.5
TELL_EVERY = 10.0  # seconds
PRUNE_EVERY = 60.0
TURN_SECONDS = 0.5


class Ingest:
    """Reads the queues with so many threads each, until `stop` is set."""

    def __init__(
        self,
        stop: threading.Event,
        *,
        queues: Sequence[str],
        threads: int,
        companies: Companies | None = None,
    ) -> None:
        self.stop = stop
        self._outage = Outage(stop)
        self._companies = companies or configured()
        self._counts = Counts()
        self._threads = [thread for name in queues for thread in self._threads_of(name, threads)]
        self._pruned_at = self._told_at = time.monotonic()

    def _threads_of(self, name: str, count: int) -> list[threading.Thread]:
        crew = Crew(self.stop, self._outage, self._companies, self._counts.add, threading.Event())
        return [
            threading.Thread(
                target=Receiver(name, crew, is_helper=number > 0).run,
                name=f"ingest-{name}-{number}",
                daemon=True,  # a request that hangs must not keep the process
            )
            for number in range(count)
        ]

    def run(self) -> None:
        """Work until told to stop; then at most five seconds more."""
        keep_what_is_loaded()
        for thread in self._threads:
            thread.start()
        log.info("ingest_begins", threads=len(self._threads))
        while not self.stop.wait(TURN_SECONDS):
            self._tend()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
        self._counts.tell()
        hang_up()
        late = sum(thread.is_alive() for thread in self._threads)
        log.info("ingest_stopped", threads_left=late)

    def _tend(self) -> None:
        """Do what is due; whatever fails is due again, and stops no receiver."""
        now = time.monotonic()
        if now - self._told_at >= TELL_EVERY:
            self._counts.tell()
            self._told_at = now
        if self._outage.is_on:  # to connect may take seconds, and the process may have to stop
            return
        try:
            replaying.replay_due()
            if now - self._pruned_at >= PRUNE_EVERY:
                self._pruned_at = now
                inbox.prune(settings.INBOX_RETENTION)
        except (OperationalError, InterfaceError):  # the receivers say that it is away
            hang_up()
        except Exception:
            log.exception("ingest_not_tended")
            hang_up()


def keep_what_is_loaded() -> None:
    """Spare the garbage collector what stays for good: a process that makes many short-lived
    objects would spend a fifth of its time on looking through all of Django's again and again.
    """
    gc.collect()
    gc.freeze()


class Counts:
    """What became of the messages since the last line in the log. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sum: Counter[str] = Counter()

    def add(self, filed: Filed) -> None:
        with self._lock:
            # Numbers only: the dead letters themselves may have a MiB each.
            self._sum.update(events=filed.events, known=filed.known, dead=len(filed.dead))

    def tell(self) -> None:
        with self._lock:
            found, self._sum = self._sum, Counter()
        if found.total():
            log.info("ingested", **found)
