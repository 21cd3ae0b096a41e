"""Whether the database answers: asked before each receive, and waited for while it does not."""

import threading
import time

import structlog
from django.db import DatabaseError, InterfaceError, connection

from subscriptions.statements import fetch_prepared

log = structlog.get_logger(__name__)

# Not only whether it answers: a standby, or a database without the tables, takes no event either.
PROBE = """
SELECT current_setting('transaction_read_only') = 'on'
FROM (SELECT count(*) FROM event_system_inbox WHERE false) AS inbox,
    (SELECT count(*) FROM event_system_dead_letter WHERE false) AS dead_letters
"""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds
FRESH_SECONDS = 0.5  # an answer of so long ago is as good as another
FAILURES = (DatabaseError, InterfaceError)


class Outage:
    """What all threads of a process know of the database; each asks on its own connection.

    The first that finds it away says so in the log, and the first that finds it back.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._answered_at = float("-inf")
        self._lock = threading.Lock()
        self.is_on = False

    def note_success(self) -> None:
        """Note that the database has just taken something: it need not be asked for a moment."""
        self._answered_at = time.monotonic()

    def doubt(self) -> None:
        """Note that a statement has failed: the database is asked again before the next."""
        self._answered_at = float("-inf")

    def wait(self) -> bool:
        """Return True as soon as the database answers, False if the process shall stop before."""
        if time.monotonic() - self._answered_at < FRESH_SECONDS and not self._stop.is_set():
            return True
        pause = SHORTEST_PAUSE
        while not self._stop.is_set():
            problem = _ask()
            self._tell(problem)
            if problem is None:
                self.note_success()
                return True
            self.doubt()
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return False

    def _tell(self, problem: str | None) -> None:
        if self.is_on == (problem is not None):  # without the lock: nearly always so
            return
        with self._lock:
            if self.is_on == (problem is not None):
                return
            self.is_on = problem is not None
        if problem is not None:
            log.warning("ingest_waits_for_database", error=problem)
        else:
            log.info("ingest_goes_on")


def _ask() -> str | None:
    """Return why the database takes nothing, None if it does. A connection that fails is closed, so
    that the next is new.
    """
    try:
        [(is_read_only,)] = fetch_prepared(PROBE)
        if not is_read_only:
            return None
        problem = "it is read-only"
    except FAILURES as error:
        problem = str(error).strip().partition("\n")[0]
    hang_up()
    return problem


def hang_up() -> None:
    """Close this thread's connection, whatever it is in."""
    try:
        connection.close()
    except FAILURES as error:
        log.warning("connection_not_closed", error=str(error).strip())
