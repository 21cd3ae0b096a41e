"""What happens to the n-th message of each kind on its way: drawn from the seed."""

import threading
from collections import Counter
from dataclasses import dataclass
from random import Random

from tests.faults.seeds import rng


@dataclass(frozen=True)
class Fate:
    """Of a message sent: `copies` (0: dropped) go on after `delay` seconds. Of one received: 0 is
    withheld, 2 comes twice, `late` comes again with a later answer. Of a deletion: 0 is not done,
    and the message comes back after `delay`.
    """

    copies: int = 1
    delay: float = 0.0
    late: bool = False


KIND = Fate()


class Mischief:
    """Draws fates in turn while `active`; thread-safe. Counts what it did."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.active = True
        self.done: Counter[str] = Counter()
        self._turns: Counter[str] = Counter()
        self._lock = threading.Lock()

    def of_send(self) -> Fate:
        draw = self._draw("send")
        copies = draw.choices((1, 0, 2, 3), (80, 9, 9, 2))[0]
        delay = draw.uniform(0.02, 2.5) if draw.random() < 0.25 else 0.0
        return self._note("send", Fate(copies, delay))

    def of_receipt(self) -> Fate:
        draw = self._draw("receive")
        copies = draw.choices((1, 0, 2), (90, 4, 6))[0]
        return self._note("receive", Fate(copies, late=draw.random() < 0.05))

    def of_deletion(self) -> Fate:
        draw = self._draw("delete")
        copies = draw.choices((1, 0), (93, 7))[0]
        delay = 0.0 if copies else draw.choice((0.0, 1.0, 2.0))
        return self._note("delete", Fate(copies, delay))

    def of_visibility(self) -> Fate:
        return self._note("visibility", Fate(self._draw("visibility").choices((1, 0), (85, 15))[0]))

    def short_visibility(self) -> int | None:
        """Seconds after which what is now received comes again, though it is being worked on."""
        draw = self._draw("poll")
        return draw.choice((1, 2)) if self.active and draw.random() < 0.1 else None

    def order(self, count: int) -> list[int]:
        """Return the order in which that many messages are handed out."""
        places = list(range(count))
        if self.active:
            self._draw("order").shuffle(places)
        return places

    def _draw(self, kind: str) -> Random:
        with self._lock:
            self._turns[kind] += 1
            return rng(self.seed, kind, self._turns[kind])

    def _note(self, kind: str, fate: Fate) -> Fate:
        if not self.active:
            return KIND
        happened = {
            "dropped": not fate.copies,
            "doubled": fate.copies > 1,
            "delayed": fate.copies > 0 and fate.delay > 0,
            "repeated later": fate.late,
        }
        with self._lock:
            self.done.update(f"{kind} {what}" for what, did in happened.items() if did)
            self.done[f"{kind} seen"] += 1
        return fate
