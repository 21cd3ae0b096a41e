"""The relay as a process: one works, others stand by; an outage of the database makes it wait."""

import threading
import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from jobs import services as engine
from subscriptions import partitions, retention, scheduled
from subscriptions.cursor import Glance
from subscriptions.deliveries import sweeping
from subscriptions.errors import ShardsInUse
from subscriptions.handing import Hander
from subscriptions.relay import PAGE_SIZE, relay_once
from subscriptions.routing import Router
from subscriptions.search import index
from subscriptions.shards import Share

log = structlog.get_logger(__name__)

SWEEP_EVERY = 0.15  # seconds; each costs half a millisecond of a core
TEND_EVERY = 1.0
FIRE_EVERY = 1.0
FIRED_AT_ONCE = 1000
PRUNE_EVERY = 10.0
PRUNED_AT_ONCE = 200  # short enough not to be felt by what the relay does beside it
KEEP_DAYS_EVERY = 60.0
STAND_BY = 1.0
LONGEST_PAUSE = 5.0

# What the project starts beside a relay: threads that end soon after the event is set.
BESIDE: list[Callable[[threading.Event], threading.Thread]] = []


class Relay:
    """Relays events until `stop` is set: those of `shard`, or of any of `shards` that is free.

    Who has shard 0 sweeps, too, and keeps the days.
    """

    def __init__(self, stop: threading.Event, *, shard: int | None = None, shards: int = 1) -> None:
        self.stop = stop
        mine = range(max(shards, 1)) if shard is None else [shard]
        self._shares = [Share(one, shards) for one in mine]
        self._hander = Hander()
        self._swept_at = 0.0
        self._tended_at = 0.0
        self._fired_at = 0.0
        self._pruned_at = 0.0
        self._days_kept_at = float("-inf")
        self._failures = 0

    def run(self) -> None:
        """Work until told to stop; a lost connection or a failing statement is waited out."""
        while not self.stop.is_set():
            try:
                share = self._take_share()
                if share is not None:
                    self._lead(share)
                else:
                    self.stop.wait(STAND_BY)
            except Exception as error:
                # The relay never exits by itself: a database that is away comes back, and what a
                # release broke the next one mends, while the other turns go on.
                if not isinstance(error, DatabaseError | InterfaceError | ShardsInUse):
                    log.exception("relay_failed")
                self._failures += 1
                pause = min(0.1 * 2 ** min(self._failures, 10), LONGEST_PAUSE)
                log.warning("relay_waits", error=str(error).strip(), seconds=round(pause, 2))
                self._hang_up()
                self.stop.wait(pause)
        self._hang_up()
        self._hander.flush()
        log.info("relay_stopped")

    def _take_share(self) -> Share | None:
        """Take the first free advisory lock; it is the session's, so it falls free when this
        process dies.

        It only saves two relays from working in turns: what keeps them apart is the cursor's row
        lock.
        """
        for share in self._shares:
            with connection.cursor() as rows:
                rows.execute("SELECT pg_try_advisory_lock(%s, %s)", share.lock)
                if rows.fetchone()[0]:
                    return share
        return None

    def _lead(self, share: Share) -> None:
        log.info("relay_leads", shard=share.shard, shards=share.shards)
        router, glance = Router(), Glance(share)
        is_busy = False
        while not self.stop.is_set():
            turn = relay_once(
                router,
                share=share,
                glance=glance,
                is_busy=is_busy,
                hand=self._hander.hand,
            )
            is_busy = turn.events == PAGE_SIZE
            if share.shard == 0:
                self._sweep()
            self._failures = 0
            if not turn.events:
                self.stop.wait(settings.RELAY_POLL.total_seconds())

    def _sweep(self) -> None:
        self._keep_days()
        if time.monotonic() - self._swept_at < SWEEP_EVERY:
            return
        is_tending = time.monotonic() - self._tended_at >= TEND_EVERY
        sweeping.sweep()
        engine.sweep(is_thorough=is_tending)
        self._swept_at = time.monotonic()
        if is_tending:
            sweeping.tend()
            self._tended_at = self._swept_at
        self._fire_scheduled()
        if self._swept_at - self._pruned_at >= PRUNE_EVERY:
            engine.prune(limit=PRUNED_AT_ONCE)
            engine.prune_firings(limit=PRUNED_AT_ONCE)
            index.forget_removed(limit=PRUNED_AT_ONCE)
            self._pruned_at = self._swept_at

    def _fire_scheduled(self) -> None:
        """Publish the events whose time has come; if many have, the next sweep goes on."""
        if self._swept_at - self._fired_at < FIRE_EVERY:
            return
        if scheduled.fire_due(limit=FIRED_AT_ONCE) < FIRED_AT_ONCE:
            self._fired_at = self._swept_at

    def _keep_days(self) -> None:
        """Make and empty partitions; what cannot be is no reason to stop relaying."""
        if time.monotonic() - self._days_kept_at < KEEP_DAYS_EVERY:
            return
        self._days_kept_at = time.monotonic()
        try:
            partitions.make_ahead(settings.EVENT_PARTITIONS_AHEAD)
            retention.empty_past(settings.EVENT_RETENTION)
        except (OperationalError, InterfaceError):
            raise  # the connection's, say
        except DatabaseError as error:
            log.warning("partitions_not_kept", error=str(error).strip())

    def _hang_up(self) -> None:
        try:
            connection.close()
        except (DatabaseError, InterfaceError) as error:
            log.warning("relay_connection_not_closed", error=str(error).strip())
