"""Extend the leases of a worker's live children from its main process, one statement a beat."""

import secrets
import threading
from typing import Any

import structlog
from celery import signals
from celery.worker import state
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from jobs.transitions import claims

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0  # while the database is away: the leases last three intervals

# Set before the pool forks and inherited by it: a restarted worker of the same host name and the
# same pids must not keep the leases of the one that died.
BOOT = secrets.token_hex(4)


def worker_name(hostname: str, pid: int, message: str) -> str:
    """Return the name under which a pool process holds leases while it works on one message.

    The message's id is in it because a process that could not record an outcome (the database was
    away) goes on with other messages: their leases are extended, that of what it left is not.
    """
    return f"{hostname}:{BOOT}:{pid}:{message}"


class LeaseHeart(threading.Thread):
    """Extends, every third of the lease, what the pool's processes hold; survives a database that
    is away.
    """

    def __init__(self, hostname: str) -> None:
        super().__init__(name="lease-heart", daemon=True)
        self.hostname = hostname
        self._stopped = threading.Event()

    def run(self) -> None:
        interval = pause = settings.JOBS_LEASE.total_seconds() / 3
        while not self._stopped.wait(pause):
            pause = interval
            try:
                self.beat()
            except (DatabaseError, InterfaceError) as error:
                log.warning("leases_not_extended", error=str(error))
                connection.close()
                pause = min(interval, RETRY_SECONDS)
        connection.close()

    def beat(self) -> int:
        """Extend once; return how many leases."""
        names = [
            worker_name(self.hostname, request.worker_pid, request.id)
            for request in list(state.active_requests)
            if request.worker_pid is not None
        ]
        if not names:
            return 0
        return claims.extend_leases(names, lease=settings.JOBS_LEASE)

    def stop(self) -> None:
        self._stopped.set()


_hearts: list[LeaseHeart] = []


@signals.worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    heart = LeaseHeart(sender.hostname)
    _hearts.append(heart)
    heart.start()


@signals.worker_shutdown.connect
def _stop(**_: Any) -> None:
    while _hearts:
        _hearts.pop().stop()
