"""Whether the database answers: asked before each receive, and waited for while it does not."""

import threading

import structlog
from django.db import DatabaseError, InterfaceError, connection

log = structlog.get_logger(__name__)

SHORTEST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds
FAILURES = (DatabaseError, InterfaceError)


class Outage:
    """What all threads of a process know of the database; each asks on its own connection.

    The first that finds it away says so in the log, and the first that finds it back.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        self._is_told = False

    def wait(self) -> bool:
        """Return True as soon as the database answers, False if the process shall stop before."""
        pause = SHORTEST_PAUSE
        while not self._stop.is_set():
            error = _ask()
            self._tell(error)
            if error is None:
                return True
            self._stop.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        return False

    def _tell(self, error: Exception | None) -> None:
        if self._is_told == (error is not None):  # without the lock: nearly always so
            return
        with self._lock:
            if self._is_told == (error is not None):
                return
            self._is_told = error is not None
        if error is not None:
            log.warning("ingest_waits_for_database", error=str(error).strip().partition("\n")[0])
        else:
            log.info("ingest_goes_on")


def _ask() -> Exception | None:
    """Ask the database for nothing; a connection that fails is closed, so that the next is new."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except FAILURES as error:
        hang_up()
        return error
    return None


def hang_up() -> None:
    """Close this thread's connection, whatever it is in."""
    try:
        connection.close()
    except FAILURES as error:
        log.warning("connection_not_closed", error=str(error).strip())
