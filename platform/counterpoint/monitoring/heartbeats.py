"""Which process was last seen at work; for those whose silence nothing else tells."""

import time

from subscriptions.statements import execute

EVERY = 15.0  # seconds
BEAT = "beat"

SEEN = """
INSERT INTO counterpoint_heartbeat (process, seen_at) VALUES (%s, clock_timestamp())
ON CONFLICT (process) DO UPDATE SET seen_at = EXCLUDED.seen_at
"""


class Pulse:
    """Notes that a process works, now and then; called wherever it goes round."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._beaten_at = float("-inf")

    def beat(self) -> None:
        """Write it down if that is some seconds ago. Raises what the database does."""
        if time.monotonic() - self._beaten_at >= EVERY:
            execute(SEEN, [self._process])
            self._beaten_at = time.monotonic()
