"""A thread beside the work of the relay and of beat: it counts, and sees to the alerts.

Both run it, so that either notices when the other is gone; the database says whose turn it is.
"""

import threading

import structlog
from django.db import DatabaseError, InterfaceError, connection

from counterpoint.monitoring import tallies
from counterpoint.monitoring.alerts import evaluating, incidents, notices

log = structlog.get_logger(__name__)

FIRST_PAUSE = 1.0  # seconds: what begins has enough to do
PAUSE = 10.0  # between looks whose turn it is
FORGET_EVERY = 360  # looks: an hour


def begin(stop: threading.Event) -> threading.Thread:
    """Start the thread; it ends soon after `stop` is set."""
    thread = threading.Thread(target=run, args=[stop], name="watch", daemon=True)
    thread.start()
    return thread


def run(stop: threading.Event) -> None:
    """Look every ten seconds; a database that is away is waited for."""
    looks = 0
    while not stop.wait(PAUSE if looks else FIRST_PAUSE):
        try:
            look(is_hourly=looks % FORGET_EVERY == 0)
        except (DatabaseError, InterfaceError) as error:
            log.warning("watch_waits", error=str(error).strip())
            connection.close()
        except Exception:
            # What a release broke the next one mends; the process has other work.
            log.exception("watch_failed")
            connection.close()
        looks += 1
    connection.close()


def look(*, is_hourly: bool = False) -> None:
    """Do what is due."""
    tallies.turn()
    evaluating.turn()
    notices.send_due()
    if is_hourly:
        tallies.forget()
        incidents.forget()
