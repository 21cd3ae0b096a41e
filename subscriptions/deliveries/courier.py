"""A worker process's deliveries: tries in lanes, outcomes recorded by a thread beside them."""

import threading
from collections import deque
from collections.abc import Sequence
from functools import cache
from zlib import crc32

import structlog
from celery import signals
from django.db import DatabaseError, InterfaceError, connection

from subscriptions.deliveries import disabling
from subscriptions.deliveries.admission import Definition
from subscriptions.deliveries.claiming import Claim, Taken, take
from subscriptions.deliveries.delivery import UNLIMITED, Try, by_itself, in_one_call, tries
from subscriptions.deliveries.lanes import Job, Lanes
from subscriptions.deliveries.queueing import call, leave, leave_queues
from subscriptions.deliveries.recording import Done, give_back, record
from subscriptions.handlers.contract import Handler

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 0.025
FLUSH_SIZE = 100
TICK_SECONDS = 0.05
IDLE_SECONDS = 1.0
LAST_SECONDS = 20.0  # for what still runs when the process is told to stop
LAST_MAIL_SECONDS = 5.0
BATCHES_AT_ONCE = 2  # of a handler type whose batches are made in the background
HOLD_SECONDS = 30.0  # that a task waits for room before it goes on all the same

# A lane and its limit.
LaneLimit = tuple[int, int]


class Courier:
    """Makes deliveries in the background. One to a process; its recording thread has a database
    connection of its own.
    """

    def __init__(self) -> None:
        self.lanes = Lanes()
        self._done: deque[list[Done]] = deque()
        self._unbegun: deque[tuple[list[Claim], LaneLimit]] = deque()
        self._marked: deque[tuple[int, LaneLimit]] = deque()  # to be added to `_crowded`
        # The recorder's own: subscriptions with more queued, and those to call now.
        self._crowded: dict[int, LaneLimit] = {}
        self._to_call: set[int] = set()
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._recorder = threading.Thread(target=self._record_on, name="recorder", daemon=True)
        self._recorder.start()

    def dispatch(self, delivery_ids: Sequence[int]) -> None:
        """Begin the tries that may be made now. Waits while too much is under way already."""
        self._begin(delivery_ids)
        self.lanes.wait_for_room(timeout=HOLD_SECONDS)

    def close(self) -> None:
        """Leave to others what has not begun, wait for what runs, as long as a receiver may take,
        and record it.
        """
        self._closing.set()
        self.lanes.drain()
        self._wake.set()
        self.lanes.wait_until_idle(timeout=LAST_SECONDS)
        self._stop.set()
        self._wake.set()
        self._recorder.join(timeout=LAST_SECONDS)
        disabling.flush(timeout=LAST_MAIL_SECONDS)

    def _begin(self, delivery_ids: Sequence[int]) -> None:
        todo = list(delivery_ids)
        while todo:
            if self._closing.is_set():
                leave(todo)
                return
            taken = take(todo, room=self._room)
            todo = taken.promoted
            self._mark(taken)
            together, apart = tries(taken.claims, taken.definitions)
            for handler, batch in apart:
                self._submit(handler, batch, batch[0][0].subscription_id, handler.concurrency)
            for handler, batch in together:
                if handler.in_background:
                    self._submit(handler, batch, _lane_of(handler), BATCHES_AT_ONCE)
                    continue
                for done in in_one_call(handler, batch):
                    todo += record(done)
        self._wake.set()

    def _room(self, definition: Definition) -> int:
        handler = definition.handler
        if handler is None or not handler.concurrency:
            return UNLIMITED
        return self.lanes.room(definition.subscription.pk, handler.concurrency)

    def _mark(self, taken: Taken) -> None:
        """Remember whose deliveries were queued, to call them when there is room again."""
        for pk in taken.crowded:
            handler = taken.definitions[pk].handler
            if handler is not None:
                self._marked.append((pk, (pk, handler.concurrency)))

    def _submit(self, handler: Handler, batch: Try, lane: int, limit: int) -> None:
        claims = [claim for claim, _, _ in batch]

        def run() -> None:
            self._done.append(by_itself(handler, batch))
            if len(self._done) >= FLUSH_SIZE:
                self._wake.set()

        self.lanes.submit(
            Job(
                lane=lane,
                limit=limit,
                run=run,
                give_back=lambda: self._unbegun.append((claims, (lane, limit))),
            )
        )

    def _record_on(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(IDLE_SECONDS if self.lanes.is_idle else TICK_SECONDS)
            self._wake.clear()
            self._turn()
        self._turn()
        self._leave_queues()
        connection.close()

    def _turn(self) -> None:
        try:
            while not self.lanes.is_idle or self._done or self._unbegun or self._is_called_for:
                self.lanes.tick()
                self._flush()
                if self._stop.is_set() and not self._done:
                    break
                self._stop.wait(FLUSH_SECONDS)
        except (DatabaseError, InterfaceError) as error:
            log.warning("outcomes_not_recorded", error=str(error).strip()[:500])
            connection.close()
            self._stop.wait(IDLE_SECONDS)
            self._wake.set()
        except Exception:
            # The thread must live: what it could not record is tried again after the lease.
            log.exception("recorder_failed")

    def _flush(self) -> None:
        done = self._gathered()
        if done:
            try:
                promoted = record(done)
            except (DatabaseError, InterfaceError):
                self._done.appendleft(done)
                raise
            self._to_call |= {one.claim.subscription_id for one in done}
            self._begin(promoted)
        while self._unbegun:
            claims, lane = self._unbegun[0]
            give_back(claims, is_leaving=self._closing.is_set())
            self._marked += [(pk, lane) for pk in {claim.subscription_id for claim in claims}]
            self._unbegun.popleft()
        self._call()

    def _gathered(self) -> list[Done]:
        found: list[Done] = []
        while self._done and len(found) < FLUSH_SIZE:
            found += self._done.popleft()
        return found

    @property
    def _is_called_for(self) -> bool:
        return bool(self._marked or self._to_call) and not self._closing.is_set()

    def _call(self) -> None:
        """Take on what is queued, of each lane that has a place again."""
        while self._marked:
            pk, lane = self._marked.popleft()
            self._crowded[pk] = lane
            self._to_call.add(pk)
        self._to_call.intersection_update(self._crowded)
        if not self._closing.is_set():
            self._begin([one for pk in list(self._to_call) for one in self._next(pk)])

    def _next(self, pk: int) -> list[int]:
        """Return the first of a queue, as many as there are places; without any, the next turn asks
        again.
        """
        places = min(self.lanes.room(*self._crowded[pk]), FLUSH_SIZE)
        if not places:
            return []
        found = call(pk, limit=places)
        self._to_call.discard(pk)
        if len(found) < places:
            del self._crowded[pk]
        return found

    def _leave_queues(self) -> None:
        """Have others take on what this process would have called."""
        if not self._crowded:
            return
        try:
            leave_queues(self._crowded.keys())
        except (DatabaseError, InterfaceError) as error:  # they are due anyhow, only later
            log.warning("queues_not_left", error=str(error).strip()[:500])


def _lane_of(handler: Handler) -> int:
    """Return the lane of a whole handler type: below those of subscriptions."""
    return -1 - crc32(handler.name.encode())


@cache
def courier() -> Courier:
    """Return this process's courier; made at its first delivery, after the pool has forked."""
    made = Courier()
    signals.worker_process_shutdown.connect(lambda **_: made.close(), weak=False)
    return made
