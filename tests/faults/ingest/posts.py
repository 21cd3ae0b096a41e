"""The messages of one play: which are broken, and which are sent twice."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.seeds import rng

BROKEN_SHARE = 0.01
REPEATED_SHARE = 0.025  # sent twice under one id; as many come twice because a deletion is lost


@dataclass(frozen=True)
class Post:
    """One body; `copies` messages have it."""

    number: int
    body: str
    is_broken: bool = False
    copies: int = 1


def good(number: int, **fields: object) -> str:
    payload = {"number": number, "companyId": f"company {number % 7}"}
    body = {"type": "fault.sent", "id": f"post-{number}", "payload": payload, "attempts": 1}
    return json.dumps({**body, **fields})


def _in_payload(number: int, text: str) -> str:
    return good(number).replace('"companyId"', f'"extra": {text}, "companyId"')


# Those of the second kind can be read as far as their id: sent again, they are the same message.
WITHOUT_ID: list[Callable[[int], str]] = [
    lambda number: f"no json {number}",
    lambda number: good(number)[:-1],
    lambda number: _in_payload(number, "NaN"),
    lambda number: _in_payload(number, '{"a": 1, "a": 2}'),
    lambda number: _in_payload(number, "[" * 10_000 + "]" * 10_000),
    lambda number: _in_payload(number, "1e400"),
    lambda number: _in_payload(number, "9" * 5000),
    lambda number: _in_payload(number, '"\\ud800"'),
    lambda number: f'[{number}, "a list"]',
    lambda number: good(number).encode("utf-16-be").decode("latin-1").replace("\x00", "é"),
]
WITH_ID: list[Callable[[int], str]] = [
    lambda number: good(number, type="fault.unheard"),
    lambda number: good(number, payload={"number": "many", "companyId": "acme"}),
    lambda number: good(number, payload={"number": number}),
    lambda number: good(number, companyId="another"),
    lambda number: _in_payload(number, '"\\u0000"'),
    lambda number: _in_payload(number, "1e-99999"),
    lambda number: good(number, timestamp="never"),
]


def posts(seed: int, count: int) -> list[Post]:
    """Return so many messages' posts: a post sent twice counts as two."""
    made: list[Post] = []
    sent = 0
    while sent < count:
        made.append(_post(seed, len(made)))
        sent += made[-1].copies
    return made


def _post(seed: int, number: int) -> Post:
    draw = rng(seed, "post", number)
    is_repeated = draw.random() < REPEATED_SHARE
    if draw.random() >= BROKEN_SHARE:
        return Post(number, good(number), copies=1 + is_repeated)
    make = draw.choice(WITH_ID if is_repeated else WITHOUT_ID + WITH_ID)
    return Post(number, make(number), is_broken=True, copies=1 + is_repeated)
