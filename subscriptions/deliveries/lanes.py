"""Tries in threads of one process, so that no receiver holds up another's deliveries.

Each subscription has a lane with a limit of its own. About `ACTIVE` tries run at once; one that
has taken longer than `YOUNG` no longer counts, so a receiver that never answers costs threads,
which are many, and not the places of the others.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

ACTIVE = 16
YOUNG = 0.1  # seconds
THREADS = 256
CROWDED = 2  # a lane's limit while half of the threads are taken
SLOW = 1.0  # a lane whose oldest try has taken longer gets no more than its limit
BACKLOG = 128  # tries that wait in a lane
AHEAD = 16  # tries that may begin and wait for a thread before more work is fetched
PATIENCE = 5.0  # after which what has not begun in a slow lane is given back


@dataclass
class Job:
    """One try of one or more deliveries; `run` never raises. `limit` is its lane's."""

    lane: int
    limit: int
    run: Callable[[], None]
    give_back: Callable[[], None]
    submitted_at: float = 0.0


@dataclass
class Lane:
    limit: int
    waiting: deque[Job] = field(default_factory=deque)
    running: list[float] = field(default_factory=list)  # when each began

    def is_slow(self, now: float) -> bool:
        return bool(self.running) and now - self.running[0] > SLOW


class Lanes:
    """A process's lanes. All methods may be called from any thread; none of them blocks but the
    two that say so.
    """

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._lanes: dict[int, Lane] = {}
        self._turn: deque[int] = deque()  # lanes with something waiting, in their order
        self._begun: deque[float] = deque()  # when the youngest tries began, ascending
        self._running = 0
        self._waiting = 0
        self._is_closed = False
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="delivery")

    def room(self, lane: int, limit: int) -> int:
        """Return how many more tries of the lane may be taken on."""
        with self._lock:
            held = self._lanes.get(lane)
            if held is None:
                return BACKLOG
            if held.is_slow(time.monotonic()):
                return max(limit - len(held.running) - len(held.waiting), 0)
            return max(BACKLOG - len(held.waiting), 0)

    def submit(self, job: Job) -> None:
        job.submitted_at = time.monotonic()
        with self._lock:
            if not self._is_closed:
                self._queue(job)
                return
        job.give_back()

    def _queue(self, job: Job) -> None:
        lane = self._lanes.setdefault(job.lane, Lane(job.limit))
        lane.limit = job.limit
        if not lane.waiting:
            self._turn.append(job.lane)
        lane.waiting.append(job)
        self._waiting += 1
        self._start()

    def drain(self) -> None:
        """Begin nothing any more: give back what waits, and whatever is submitted from now on."""
        with self._lock:
            self._is_closed = True
            waiting = [job for pk in self._turn for job in self._lanes[pk].waiting]
            for pk in self._turn:
                self._lanes[pk].waiting.clear()
            self._turn.clear()
            self._waiting = 0
        for job in waiting:
            job.give_back()

    def tick(self) -> None:
        """Let others take the places of tries that are not young any more, and give back what has
        waited too long. To be called every few hundredths of a second while something runs.
        """
        with self._lock:
            late = self._too_late(time.monotonic())
            self._start()
        for job in late:
            job.give_back()

    def wait_for_room(self, *, timeout: float) -> None:
        """Block until few tries wait for a thread; those of lanes at their limit do not count."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while self._ahead() > AHEAD and (left := deadline - time.monotonic()) > 0:
                self._lock.wait(min(left, YOUNG))
                self._start()

    def _ahead(self) -> int:
        lanes = (self._lanes[pk] for pk in self._turn)
        return sum(len(lane.waiting) for lane in lanes if len(lane.running) < lane.limit)

    def wait_until_idle(self, *, timeout: float) -> bool:
        """Block until nothing runs or waits; return whether that was reached."""
        deadline = time.monotonic() + timeout
        with self._lock:
            while self._running or self._waiting:
                if (left := deadline - time.monotonic()) <= 0:
                    return False
                self._lock.wait(min(left, 0.05))
                self._start()
        return True

    @property
    def is_idle(self) -> bool:
        with self._lock:
            return not self._running and not self._waiting

    def _start(self) -> None:
        """Start what may start, one of each lane in turn."""
        now = time.monotonic()
        while self._begun and now - self._begun[0] > YOUNG:
            self._begun.popleft()
        passed = 0
        while passed < len(self._turn) and len(self._begun) < ACTIVE and self._running < THREADS:
            pk = self._turn.popleft()
            lane = self._lanes[pk]
            if len(lane.running) >= self._limit(lane):
                passed += 1
                self._turn.append(pk)
                continue
            passed = 0
            self._begin(lane, now)
            if lane.waiting:
                self._turn.append(pk)

    def _limit(self, lane: Lane) -> int:
        return lane.limit if self._running < THREADS // 2 else min(lane.limit, CROWDED)

    def _begin(self, lane: Lane, now: float) -> None:
        job = lane.waiting.popleft()
        self._waiting -= 1
        self._running += 1
        lane.running.append(now)
        self._begun.append(now)
        self._pool.submit(self._run, job, lane, now)

    def _run(self, job: Job, lane: Lane, began: float) -> None:
        try:
            job.run()
        finally:
            with self._lock:
                self._running -= 1
                lane.running.remove(began)
                if began in self._begun:
                    self._begun.remove(began)
                if not lane.running and not lane.waiting:
                    self._lanes.pop(job.lane, None)
                self._start()
                self._lock.notify_all()

    def _too_late(self, now: float) -> list[Job]:
        late: list[Job] = []
        for pk in list(self._turn):
            lane = self._lanes[pk]
            if not lane.is_slow(now):
                continue
            while lane.waiting and now - lane.waiting[0].submitted_at > PATIENCE:
                late.append(lane.waiting.popleft())
                self._waiting -= 1
            if not lane.waiting:
                self._turn.remove(pk)
        return late
