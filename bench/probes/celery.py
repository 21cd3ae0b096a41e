"""Publish Celery's canvases and wait for their ends."""

import time
from typing import Any

from bench import celery_peer
from bench.errors import BenchError
from bench.shape import PEER_QUEUE, PEER_QUEUES, STEPS

POLL_SECONDS = 0.05  # seldom: the ends have their times
ONE_QUEUE = (PEER_QUEUE,) * STEPS


def publish(kind: str, batch: str, count: int) -> dict[str, Any]:
    """Publish canvases one after the other; return the Unix time before the first."""
    began = time.time()
    for _ in range(count):
        _canvas(kind, batch).apply_async()
    return {"began": began, "took": time.time() - began}


def _canvas(kind: str, batch: str) -> Any:
    if kind == "chord":
        return celery_peer.hundred(batch)
    return celery_peer.five(batch, queues=ONE_QUEUE if kind == "chain" else PEER_QUEUES)


def wait(batch: str, count: int, wait_seconds: float) -> float:
    """Wait until that many have ended and return the Unix time of the last end."""
    deadline = time.monotonic() + wait_seconds
    path = celery_peer.marks(batch)
    while (found := _lines(path)) < count:
        if time.monotonic() > deadline:
            raise BenchError(f"{found} of {count} canvases ended within {wait_seconds:g} s")
        time.sleep(POLL_SECONDS)
    if found > count:
        raise BenchError(f"{found} ends of {count} canvases")
    return max(map(int, path.read_text().split())) / 1e9


def _lines(path: Any) -> int:
    return path.stat().st_size // celery_peer.MARK_BYTES if path.exists() else 0


HANDLERS = {"publish": publish, "wait": wait}
