"""Whether a document can be stored: what the table's trigger refuses, said before it does."""

import json
import re
from typing import Any

from subscriptions.errors import InvalidSubscription

MOST_BYTES = 65_536
MOST_CONTAINERS = 500
LONG_NUMBER = re.compile(r"[0-9]{255}")


def check_document(field: str, value: Any) -> None:
    """Raise InvalidSubscription for JSON that is too large, or that PostgreSQL does not take."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (ValueError, RecursionError):  # NaN, half of a surrogate pair, nested without end
        raise InvalidSubscription(field, "is not JSON that can be stored") from None
    if "\\u0000" in text:
        raise InvalidSubscription(field, "must not contain the character NUL")
    if size > MOST_BYTES:
        raise InvalidSubscription(field, f"has {size} bytes; at most {MOST_BYTES}")
    if text.count("{") + text.count("[") > MOST_CONTAINERS:
        raise InvalidSubscription(field, f"has more than {MOST_CONTAINERS} objects and lists")
    if LONG_NUMBER.search(text):
        raise InvalidSubscription(field, "has a number of more than 254 digits")
