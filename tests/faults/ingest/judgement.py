"""What must hold at the end: every good post an event once, every broken one a dead letter once."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from tests.faults.ingest.posts import Post

EVENTS = "SELECT (payload ->> 'number')::int FROM event_system_event WHERE type = 'fault.sent'"
DEAD_LETTERS = "SELECT body FROM event_system_dead_letter"
SHOWN = 3


def violations(
    connection: psycopg.Connection[tuple[object, ...]], posts: Sequence[Post]
) -> Iterator[str]:
    """Yield a sentence for each kind of thing that is wrong, with the first three."""
    events = Counter(int(str(row[0])) for row in connection.execute(EVENTS))
    dead = Counter(_bytes(row[0]) for row in connection.execute(DEAD_LETTERS))
    good = {post.number for post in posts if not post.is_broken}
    broken = {post.body.encode() for post in posts if post.is_broken}
    found: dict[str, set[Any]] = {
        "a good post is no event": good - set(events),
        "a post is several events": {number for number, count in events.items() if count > 1},
        "a broken post is an event": set(events) - good,
        "a broken post is no dead letter": broken - set(dead),
        "a post is several dead letters": {body for body, count in dead.items() if count > 1},
        "a good post is a dead letter": set(dead) - broken,
    }
    for what, those in found.items():
        if those:
            yield f"{what}: {len(those)} times, such as {list(those)[:SHOWN]}"


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"bytes of a body, not {type(value).__name__}")
    return value
